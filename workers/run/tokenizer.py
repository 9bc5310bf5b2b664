"""The state a stream starts with, from what `vwt run` was asked to do; refuses what cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from pipeline.errors import UsageError
from pipeline.models.base import Model
from pipeline.scene.classes import Classes
from pipeline.scene.scene import Scene
from pipeline.scene.zones import Zones
from pipeline.stream import StreamState
from pipeline.tokenizers.asked import check_taken, on_command_line
from pipeline.tokenizers.registry import TOKENIZERS, Kind, kind_of, preferred
from pipeline.tokenizers.stream import GivenWords, StreamNeeds, WordSource
from pipeline.tokenizing import check_fits, first_words, kind_for
from vocab.words import Vocabulary
from workers.run.options import RunOptions, TokenizerOptions


def check_tokenizer(options: TokenizerOptions) -> None:
    """Refuses tokenizer settings that cannot be right, before anything slow happens.

    Raises:
        UsageError: there is no such tokenizer, an option is not of it or out of range, or it cannot be held
            to what is promised.
    """
    kind = _asked_for(options)
    if options.name is not None or options.vocab is not None:
        _check_taken(kind, options)
    kind.check(options.options)
    if options.watch.promise is not None:
        options.watch.promise.check(kind)


def _check_taken(kind: Kind, options: TokenizerOptions) -> None:
    check_taken(kind, options.options, options.of_words, on_command_line)
    beside = [on_command_line(name) for name in options.of_words if name != "vocab"]
    if options.vocab is not None and beside:
        raise UsageError(
            f"--vocab gives the words, so {', '.join(beside)} would change nothing; "
            "leave out one or the other"
        )


def load_vocabulary(options: TokenizerOptions) -> Vocabulary | None:
    """The words of `--vocab`, read before anything slow; None where there is no file or no need of one."""
    if options.vocab is None or not _asked_for(options).wants_words(options.options):
        return None
    return Vocabulary.load(options.vocab)


@contextmanager
def stream_state(
    name: str,
    options: RunOptions,
    model: Model,
    vocabulary: Vocabulary | None,
    live: bool,
    say: Callable[[str], None],
    zones: Zones | None = None,
    classes: Classes | None = None,
) -> Iterator[StreamState]:
    """The state a stream starts with; what feeds it ends with the context.

    Args:
        name: of the stream.
        options: what `vwt run` was asked to do.
        model: that the tokenizer is for.
        vocabulary: the words of `--vocab`.
        live: whether frames must not wait for words.
        say: told what a person should know.
        zones, classes: those of `--zones` and `--classes`.

    Raises:
        UsageError: the model does not take the tokenizer, or words, zones or classes do not fit the model.
        ServiceError: Redis does not answer.
    """
    # Whoever gives words wants them used.
    own = options.tokenizer
    kind = kind_for(own.name if own.vocab is None else _asked_for(own).name, model)
    # Where none was named it is known only now.
    _check_taken(kind, own)
    scene = Scene.of(model, options.changed, zones, classes, remembered=options.index is not None)
    with ExitStack() as stack:
        words: WordSource | None = None
        if kind.wants_words(own.options):
            words = _words(kind, name, options, model, vocabulary, live, say, stack)
        tokenizer = stack.enter_context(closing(kind.open(own.options, StreamNeeds(words))))
        yield StreamState(name, kind, tokenizer, kind.check(own.options), own.watch, scene)


def _asked_for(options: TokenizerOptions) -> Kind:
    """What was asked for; where nothing was, what is preferred, given words of those that want them."""
    if options.name is not None:
        return kind_of(options.name)
    taken = [name for name, kind in TOKENIZERS.items() if options.vocab is None or kind.wants == "words"]
    return preferred(taken)


def _words(
    kind: Kind,
    name: str,
    options: RunOptions,
    model: Model,
    vocabulary: Vocabulary | None,
    live: bool,
    say: Callable[[str], None],
    stack: ExitStack,
) -> WordSource:
    if vocabulary is not None:
        check_fits(vocabulary, model)
        return GivenWords(vocabulary.to(model.device))
    rolling = options.rolling.resolved(live)
    if rolling is None:
        return first_words(model, options.tokenizer.words, options.tokenizer.warmup_frames, live)
    # Imports the client of Redis, which few runs need.
    from workers.run.words import living_words

    near = kind.near_of(options.tokenizer.options)
    return stack.enter_context(living_words(options.tokenizer, near, rolling, model, name, live, say))
