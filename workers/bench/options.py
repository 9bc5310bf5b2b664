"""What `vwt bench` was asked to do. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.defaults import DEFAULT_MIN_SCORE, DEFAULT_MODEL, DEFAULT_WARMUP_FRAMES, DEFAULT_WORDS
from pipeline.errors import UsageError
from pipeline.runtimes import AUTO, FP32
from pipeline.tokenizers.registry import Kind, Option, Value, flag, kind_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A tokenizer as it was asked for.

    Attributes:
        kind: which.
        options: what was fixed, by name; the knob is tried at several values unless it is among them.
    """

    kind: Kind
    options: Mapping[str, Value] = field(default_factory=dict)

    @property
    def wants_words(self) -> bool:
        """Whether it wants visual words with what was fixed."""
        return self.kind.wants_words(self.options)

    def settings(self) -> list[dict[str, Value]]:
        """The options of every setting that is to be tried."""
        if self.kind.knob is None or self.kind.knob[0] in self.options:
            return [dict(self.options)]
        knob = self.kind.knob[0]
        tried = self.kind.options[knob].tries or (self.kind.value(knob),)
        return [{**self.options, knob: self.kind.value(knob, value)} for value in tried]


@dataclass(frozen=True, slots=True)
class BenchOptions:
    """See `vwt bench --help` for each."""

    clips: Sequence[str]
    model: str = DEFAULT_MODEL
    weights: str | None = None
    min_score: float = DEFAULT_MIN_SCORE
    precision: str = FP32
    runtime: str = AUTO
    calibrate: str | None = None
    fit: str | None = None
    size: str | None = None
    tokenizers: Sequence[Asked] | None = None
    fps: float = 5.0
    batch: int = 1
    device: str = "auto"
    max_frames: int = 300
    words: int = DEFAULT_WORDS
    warmup_frames: int = DEFAULT_WARMUP_FRAMES


def asked_for(text: str) -> list[Asked]:
    """Reads "inter,merge:r=8,inter:count-sizes=1": names, each with options that are to be fixed.

    Raises:
        UsageError: a name or option that there is not, or a value out of range.
    """
    return [_asked(part.strip()) for part in text.split(",") if part.strip()]


def _asked(text: str) -> Asked:
    name, *given = text.split(":")
    kind = kind_of(name)
    options: dict[str, Any] = {}
    for pair in given:
        option, equals, value = pair.partition("=")
        known = {flag(known): known for known in kind.options}
        if option not in known or not equals:
            raise UsageError(
                f"'{text}' sets {option!r}: give NAME:OPTION=VALUE; "
                f"options of {name}: {', '.join(known) or 'none'}"
            )
        options[known[option]] = _value(kind.options[known[option]], value, f"'{text}' sets {option}")
    return Asked(kind, {name: value for name, value in kind.check(options).items() if name in options})


def _value(option: Option, value: str, where: str) -> Value:
    if option.choices:
        return value
    try:
        return float(value)
    except ValueError as error:
        raise UsageError(f"{where} to {value!r}: give a number") from error
