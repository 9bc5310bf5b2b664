"""The state a stream starts with, from what `vwt run` was asked to do; refuses what cannot be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.defaults import default_tokenizer
from pipeline.errors import UsageError
from pipeline.models.base import Model
from pipeline.stream import StreamState
from pipeline.tokenizers import TOKENIZERS, FullTokenizer, InterTokenizer, IntraTokenizer
from vocab.words import Normalisation, Vocabulary
from workers.run.options import RunOptions, TokenizerOptions
from workers.run.words import first_words, living_words


def load_vocabulary(options: TokenizerOptions) -> Vocabulary | None:
    """The words of `--vocab`, read before anything slow; None where there is no file or no need of one."""
    if options.name not in (None, "inter") or options.vocab is None:
        return None
    return Vocabulary.load(options.vocab)


def tokenizer_for(options: TokenizerOptions, model: Model) -> str:
    """The name of the tokenizer asked for; where none was, of the one that suits the model.

    Raises:
        UsageError: the model does not take it.
    """
    # Whoever gives words wants them used.
    name = options.name or ("inter" if options.vocab is not None else default_tokenizer(model.tokenizers))
    if name not in model.tokenizers:
        raise UsageError(
            f"model '{model.name}' does not take --tokenizer {name}: only Vision Transformers with "
            f"plain patches drop or merge tokens; use --tokenizer {' or '.join(model.tokenizers)}"
        )
    return name


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
    tokenizer = options.tokenizer
    chosen = tokenizer_for(tokenizer, model)
    rolling = options.rolling.resolved(live)
    if chosen == "full":
        yield StreamState(name, FullTokenizer())
    elif chosen == "intra":
        yield StreamState(name, IntraTokenizer(tokenizer.drop))
    elif vocabulary is not None:
        _check_fits(vocabulary, model)
        yield StreamState(name, InterTokenizer(vocabulary.to(model.device), tokenizer.threshold))
    elif rolling is None:
        yield StreamState(name, FullTokenizer(), first_words(tokenizer, model, live), tokenizer.threshold)
    else:
        with living_words(tokenizer, rolling, model, name, live, say) as words:
            yield StreamState(name, FullTokenizer(), words, tokenizer.threshold)


def check_tokenizer(options: TokenizerOptions) -> None:
    """Refuses tokenizer settings that cannot be right, before anything slow happens."""
    if options.name not in (None, *TOKENIZERS):
        raise UsageError(f"unknown tokenizer '{options.name}'; use one of {', '.join(TOKENIZERS)}")
    if options.name == "intra":
        IntraTokenizer(options.drop)
    if options.name in (None, "inter"):
        InterTokenizer.check(options.threshold)


def _check_fits(vocabulary: Vocabulary, model: Model) -> None:
    if vocabulary.patch_size != model.patch_size:
        raise UsageError(
            f"the vocabulary has patches of {vocabulary.patch_size} pixels, model '{model.name}' has "
            f"{model.patch_size}; learn one for it with `vwt vocab learn SOURCE --model {model.name}`"
        )
    own = Normalisation(model.input.mean, model.input.std)
    if vocabulary.normalisation not in (None, own):
        raise UsageError(
            f"the vocabulary was learned from pixels normalised otherwise than model '{model.name}' does; "
            f"learn one for it with `vwt vocab learn SOURCE --model {model.name}`"
        )
