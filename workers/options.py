"""What `vwt run` was asked to do, and turning it into parts; refuses what cannot be right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipeline.defaults import (
    DEFAULT_BATCH,
    DEFAULT_DROP,
    DEFAULT_MODEL,
    DEFAULT_THRESHOLD,
    DEFAULT_WARMUP_FRAMES,
    DEFAULT_WATTS_PER_CORE,
    DEFAULT_WORDS,
)
from pipeline.errors import UsageError
from pipeline.models.base import Model
from pipeline.stream import StreamState
from pipeline.tokenizers import TOKENIZERS, FullTokenizer, InterTokenizer, IntraTokenizer
from pipeline.warmup import WordLearner
from vocab.words import Normalisation, Vocabulary


@dataclass(frozen=True, slots=True)
class TokenizerOptions:
    """How frames are tokenized.

    Attributes:
        name: "full", "intra" or "inter".
        threshold: of inter: cosine distance up to which a patch matches a word.
        drop: of intra: share of patches dropped.
        vocab: of inter: file with words; None to learn them from the stream.
        words: of inter without a file: how many words to learn.
        warmup_frames: of inter without a file: how many frames to learn from.
    """

    name: str = "inter"
    threshold: float = DEFAULT_THRESHOLD
    drop: float = DEFAULT_DROP
    vocab: Path | None = None
    words: int = DEFAULT_WORDS
    warmup_frames: int = DEFAULT_WARMUP_FRAMES


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `vwt run` was asked to do; see `vwt run --help` for each."""

    source: str
    tokenizer: TokenizerOptions = field(default_factory=TokenizerOptions)
    model: str = DEFAULT_MODEL
    weights: str | None = None
    embedding: bool = False
    device: str = "auto"
    batch: int = DEFAULT_BATCH
    fps: float | None = None
    max_frames: int | None = None
    policy: Literal["block", "drop-oldest"] | None = None
    open_timeout_s: float = 8.0
    stall_timeout_s: float = 10.0
    decoder: Literal["auto", "cpu", "cuda"] = "auto"
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    meter: str = "auto"
    watts_per_core: float = DEFAULT_WATTS_PER_CORE
    name: str | None = None
    out: str | None = None
    annotate: str | None = None
    json_summary: str | None = None
    quiet: bool = False


def run_options(given: Mapping[str, Any]) -> RunOptions:
    """The options of the command line as RunOptions."""
    rest = dict(given)
    vocab = rest.pop("vocab")
    tokenizer = TokenizerOptions(
        name=rest.pop("tokenizer"),
        vocab=None if vocab is None else Path(vocab),
        **{key: rest.pop(key) for key in ("threshold", "drop", "words", "warmup_frames")},
    )
    timeouts = {f"{key}_s": rest.pop(key) for key in ("open_timeout", "stall_timeout")}
    return RunOptions(tokenizer=tokenizer, **timeouts, **rest)


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
