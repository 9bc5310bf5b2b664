"""The state a stream starts with, from what `vwt run` was asked to do; refuses what cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from pipeline.errors import UsageError
from pipeline.models.base import Model
from pipeline.stream import StreamState
from pipeline.tokenizers.registry import TOKENIZERS, Kind, kind_of, preferred
from pipeline.tokenizers.stream import GivenWords, StreamNeeds, WordSource
from vocab.words import Vocabulary
from workers.run.options import RunOptions, TokenizerOptions
from workers.run.words import first_words, living_words


def check_tokenizer(options: TokenizerOptions) -> None:
    """Refuses tokenizer settings that cannot be right, before anything slow happens.

    Raises:
        UsageError: there is no such tokenizer, or an option of it is out of range.
    """
    _asked_for(options).check(options.options)


def load_vocabulary(options: TokenizerOptions) -> Vocabulary | None:
    """The words of `--vocab`, read before anything slow; None where there is no file or no need of one."""
    if options.vocab is None or _asked_for(options).wants != "words":
        return None
    return Vocabulary.load(options.vocab)


def kind_for(options: TokenizerOptions, model: Model) -> Kind:
    """The tokenizer asked for; where none was, the one that suits the model.

    Raises:
        UsageError: the model does not take it.
    """
    # Whoever gives words wants them used.
    if options.name is None and options.vocab is None:
        return preferred(model.tokenizers)
    kind = _asked_for(options)
    if kind.name not in model.tokenizers:
        raise UsageError(
            f"model '{model.name}' does not take --tokenizer {kind.name}: only Vision Transformers with "
            f"plain patches drop or merge tokens; use --tokenizer {' or '.join(model.tokenizers)}"
        )
    return kind


@contextmanager
def stream_state(
    name: str,
    options: RunOptions,
    model: Model,
    vocabulary: Vocabulary | None,
    live: bool,
    say: Callable[[str], None],
) -> Iterator[StreamState]:
    """The state a stream starts with; what feeds it ends with the context.

    Args:
        name: of the stream.
        options: what `vwt run` was asked to do.
        model: that the tokenizer is for.
        vocabulary: the words of `--vocab`.
        live: whether frames must not wait for words.
        say: told what a person should know.

    Raises:
        UsageError: the model does not take the tokenizer, or the words do not fit the model.
        ServiceError: Redis does not answer.
    """
    kind = kind_for(options.tokenizer, model)
    with ExitStack() as stack:
        words: WordSource | None = None
        if kind.wants == "words":
            words = _words(kind, name, options, model, vocabulary, live, say, stack)
        tokenizer = stack.enter_context(closing(kind.open(options.tokenizer.options, StreamNeeds(words))))
        yield StreamState(name, kind, tokenizer)


def _asked_for(options: TokenizerOptions) -> Kind:
    """What was asked for; where nothing was, what is preferred of all, which wants words."""
    return preferred(tuple(TOKENIZERS)) if options.name is None else kind_of(options.name)


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
        _check_fits(vocabulary, model)
        return GivenWords(vocabulary.to(model.device))
    rolling = options.rolling.resolved(live)
    if rolling is None:
        return first_words(options.tokenizer, model, live)
    assert kind.near is not None
    near = kind.value(kind.near, options.tokenizer.options.get(kind.near))
    return stack.enter_context(living_words(options.tokenizer, near, rolling, model, name, live, say))


def _check_fits(vocabulary: Vocabulary, model: Model) -> None:
    if vocabulary.patch_size != model.patch_size:
        raise UsageError(
            f"the vocabulary has patches of {vocabulary.patch_size} pixels, model '{model.name}' has "
            f"{model.patch_size}; learn one for it with `vwt vocab learn SOURCE --model {model.name}`"
        )
    if vocabulary.normalisation not in (None, model.input.normalisation):
        raise UsageError(
            f"the vocabulary was learned from pixels normalised otherwise than model '{model.name}' does; "
            f"learn one for it with `vwt vocab learn SOURCE --model {model.name}`"
        )
