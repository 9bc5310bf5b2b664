"""The state a stream starts with, from what `vwt run` was asked to do; refuses what cannot be right."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.models.base import Model
from pipeline.stream import StreamState
from pipeline.tokenizers import TOKENIZERS, FullTokenizer, InterTokenizer, IntraTokenizer
from pipeline.warmup import WordLearner
from vocab.words import Normalisation, Vocabulary
from workers.options import TokenizerOptions


def load_vocabulary(options: TokenizerOptions) -> Vocabulary | None:
    """The words of `--vocab`, read before anything slow; None where there is no file or no need of one."""
    if options.name != "inter" or options.vocab is None:
        return None
    return Vocabulary.load(options.vocab)


def stream_state(
    name: str, options: TokenizerOptions, model: Model, vocabulary: Vocabulary | None, live: bool
) -> StreamState:
    """The state a stream starts with.

    Raises:
        UsageError: when the model does not take the tokenizer, or the words do not fit the model.
    """
    if options.name not in model.tokenizers:
        raise UsageError(
            f"model '{model.name}' does not take --tokenizer {options.name}: only Vision Transformers with "
            f"plain patches drop or merge tokens; use --tokenizer {' or '.join(model.tokenizers)}"
        )
    if options.name == "full":
        return StreamState(name, FullTokenizer())
    if options.name == "intra":
        return StreamState(name, IntraTokenizer(options.drop))
    assert model.patch_size is not None
    if vocabulary is not None:
        _check_fits(vocabulary, model)
        return StreamState(name, InterTokenizer(vocabulary.to(model.device), options.threshold))
    learner = WordLearner(
        model.input,
        model.patch_size,
        options.words,
        options.warmup_frames,
        wait=not live,
        device=model.device,
    )
    return StreamState(name, FullTokenizer(), learner, options.threshold)


def check_tokenizer(options: TokenizerOptions) -> None:
    """Refuses tokenizer settings that cannot be right, before anything slow happens."""
    if options.name not in TOKENIZERS:
        raise UsageError(f"unknown tokenizer '{options.name}'; use one of {', '.join(TOKENIZERS)}")
    if options.name == "intra":
        IntraTokenizer(options.drop)
    if options.name == "inter":
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
