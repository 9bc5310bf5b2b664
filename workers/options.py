"""What `vwt run` was asked to do. Free of heavy imports."""

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
from pipeline.sources import SourceOptions


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
    opening: SourceOptions = field(default_factory=SourceOptions)
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
    opening = SourceOptions(
        open_timeout_s=rest.pop("open_timeout"),
        stall_timeout_s=rest.pop("stall_timeout"),
        decoder=rest.pop("decoder"),
        rtsp_transport=rest.pop("rtsp_transport"),
    )
    return RunOptions(tokenizer=tokenizer, opening=opening, **rest)
