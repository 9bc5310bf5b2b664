"""What a stream is tokenized with: the tokenizer that a model gets, and the words it starts with."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.models import Model
from pipeline.tokenizers.registry import Kind, kind_of, preferred
from pipeline.warmup import WordLearner
from vocab.words import Vocabulary


def kind_for(name: str | None, model: Model) -> Kind:
    """The tokenizer of that name; where it is None, the one that suits the model.

    Raises:
        UsageError: there is none of that name, or the model does not take it.
    """
    if name is None:
        return preferred(model.tokenizers)
    kind = kind_of(name)
    if kind.name not in model.tokenizers:
        raise UsageError(
            f"model '{model.name}' does not take --tokenizer {kind.name}: {kind.says_needs}; "
            f"use --tokenizer {' or '.join(model.tokenizers)}"
        )
    return kind


def check_fits(vocabulary: Vocabulary, model: Model) -> None:
    """Raises UsageError when the words are of other patches than the model's."""
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


def first_words(model: Model, words: int, frames: int, live: bool, version: int = 1) -> WordLearner:
    """Learns words from a stream's first frames; a file waits for them, a live source does not.

    Args:
        model: whose patches they are of.
        words: how many words.
        frames: how many frames to learn from.
        live: whether the source is live.
        version: of the words.
    """
    assert model.patch_size is not None
    return WordLearner(
        model.input, model.patch_size, words, frames, wait=not live, device=model.device, version=version
    )
