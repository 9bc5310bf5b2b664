"""What `vwt run` was asked to do. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.clips.packets import PacketRing
from pipeline.defaults import (
    DEFAULT_AUDIT,
    DEFAULT_BATCH,
    DEFAULT_CLIP_BUFFER_BYTES,
    DEFAULT_HISTORY_BYTES,
    DEFAULT_MIN_SCORE,
    DEFAULT_MODEL,
    DEFAULT_PRECISION,
    DEFAULT_RELEARN_AFTER_S,
    DEFAULT_WARMUP_FRAMES,
    DEFAULT_WATTS_PER_CORE,
    DEFAULT_WINDOW_FPS,
    DEFAULT_WINDOW_PATCHES,
    DEFAULT_WORDS,
)
from pipeline.errors import UsageError
from pipeline.fit import Fit
from pipeline.guard.promise import By, Promise, Watch
from pipeline.runtimes import AUTO
from pipeline.sources import SourceOptions
from pipeline.tokenizers.registry import Value, all_options

if TYPE_CHECKING:
    from pipeline.events import AnyRule


@dataclass(frozen=True, slots=True)
class TokenizerOptions:
    """How frames are tokenized.

    Attributes:
        name: one of `TOKENIZERS`; None for the first of them that the model takes.
        options: what was given of the options of tokenizers, by name.
        vocab: of those that want words: file with words; None to learn them from the stream.
        words: of the same without a file: how many words to learn.
        warmup_frames: of the same without a file: how many frames to learn from.
        of_words: names of the options about words that were typed.
        watch: how the answers are watched.
    """

    name: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict)
    vocab: Path | None = None
    words: int = DEFAULT_WORDS
    warmup_frames: int = DEFAULT_WARMUP_FRAMES
    of_words: tuple[str, ...] = ()
    watch: Watch = field(default=Watch(DEFAULT_AUDIT))


@dataclass(frozen=True, slots=True)
class RollingOptions:
    """Where the rolling window of a stream is, and when words are learned from it again.

    Attributes:
        window: "memory" (of this process) or "redis" (of the scope, embedded without `redis`); None for a
            window in Redis where `redis` is given, else in memory for live sources and none for files, which
            keep the words of their first frames.
        redis: URL of the server.
        scope: streams of one scope share window and words; None for the stream's own.
        relearn_after_s: age at which words are learned again, if no drift came before.
        check_every_s: seconds between looks at the window.
        window_fps: frames sampled for the window per second of the stream.
        window_patches: patches drawn from each.
    """

    window: Literal["memory", "redis"] | None = None
    redis: str | None = None
    scope: str | None = None
    relearn_after_s: float = DEFAULT_RELEARN_AFTER_S
    check_every_s: float = 5.0
    window_fps: float = DEFAULT_WINDOW_FPS
    window_patches: int = DEFAULT_WINDOW_PATCHES

    def resolved(self, live: bool) -> RollingOptions | None:
        """The same with the window chosen; None where there is to be none."""
        window = self.window or ("redis" if self.redis is not None else "memory" if live else None)
        return None if window is None else replace(self, window=window)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `vwt run` was asked to do; see `vwt run --help` for each."""

    source: str
    tokenizer: TokenizerOptions = field(default_factory=TokenizerOptions)
    rolling: RollingOptions = field(default_factory=RollingOptions)
    model: str = DEFAULT_MODEL
    weights: str | None = None
    names: str | None = None
    labels: str | None = None
    embedding: bool = False
    fit: Fit | None = None
    size: str | None = None
    embedding_only: bool = False
    min_score: float = DEFAULT_MIN_SCORE
    changed: bool = False
    zones: str | None = None
    classes: str | None = None
    device: str = "auto"
    precision: str = DEFAULT_PRECISION
    runtime: str = AUTO
    calibrate: str | None = None
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
    rules: Sequence[AnyRule] = ()
    events: str | None = None
    index: str | None = None
    index_bytes: int = DEFAULT_HISTORY_BYTES
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    quiet: bool = False


# What is about words, beside options of tokenizers.
_OF_WORDS = (
    *("vocab", "words", "warmup_frames", "redis", "window", "scope"),
    *("relearn_after", "window_fps", "window_patches"),
)


def run_options(given: Mapping[str, Any], typed: Collection[str] = ()) -> RunOptions:
    """The options of the command line as RunOptions.

    Args:
        given: all of them by name, with defaults.
        typed: names of those that come neither from defaults nor from the environment.
    """
    rest = dict(given)
    vocab = rest.pop("vocab")
    tokenizer = TokenizerOptions(
        name=rest.pop("tokenizer"),
        vocab=None if vocab is None else Path(vocab),
        options={name: value for name in all_options() if (value := rest.pop(name)) is not None},
        words=rest.pop("words"),
        warmup_frames=rest.pop("warmup_frames"),
        of_words=tuple(name for name in _OF_WORDS if name in typed),
        watch=_watch(*(rest.pop(key) for key in ("audit", "guard", "guard_by"))),
    )
    rolling = RollingOptions(
        relearn_after_s=rest.pop("relearn_after"),
        **{key: rest.pop(key) for key in ("window", "redis", "scope", "window_fps", "window_patches")},
    )
    rules = _rules(rest.pop("rules"), rest["events"])
    if any(rule.wants_embedding for rule in rules):
        rest["embedding"] = True
    clips = rest["events"] is not None and any(rule.clip is not None for rule in rules)
    opening = SourceOptions(
        open_timeout_s=rest.pop("open_timeout"),
        stall_timeout_s=rest.pop("stall_timeout"),
        decoder=rest.pop("decoder"),
        gpu=_gpu(rest["device"]),
        rtsp_transport=rest.pop("rtsp_transport"),
        max_pixels=rest.pop("max_pixels"),
        fps=rest["fps"],
        decode=rest.pop("decode"),
        packets=PacketRing(DEFAULT_CLIP_BUFFER_BYTES) if clips else None,
    )
    return RunOptions(tokenizer=tokenizer, rolling=rolling, opening=opening, rules=rules, **rest)


def _gpu(device: str) -> int | None:
    """The GPU that decodes: the one that computes, where that was said."""
    kind, _, index = device.partition(":")
    return int(index) if kind == "cuda" and index.isdecimal() else None


def _rules(path: str | None, folder: str | None) -> Sequence[AnyRule]:
    if path is None:
        if folder is not None:
            raise UsageError(f"--events {folder} is where pictures of events go; give --rules FILE as well")
        return ()
    # Imported where it is wanted: it takes a while.
    from pipeline.events import read_rules_file

    return read_rules_file(path)


def _watch(audit: float | None, target: float | None, by: By | None) -> Watch:
    if target is None and by is not None:
        raise UsageError(f"--guard-by {by} says what --guard is about; give --guard TARGET as well")
    promise = None if target is None else Promise(target, by or "cosine").check(None)
    return Watch(DEFAULT_AUDIT if audit is None else audit, promise).check()
