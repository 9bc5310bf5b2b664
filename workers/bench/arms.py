"""What is held against each other: tokenizers at their settings, and the controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.tokenizers.full import FullTokenizer
from pipeline.tokenizers.stream import GivenWords, SameTokenizer, StreamNeeds, StreamTokenizer
from vocab.words import Vocabulary
from workers.bench.options import Asked

SKIPS = (2, 3, 4)
# Shares of frames that adaptive skip runs; the threshold for each is found in hindsight, in its favour.
ADAPTIVE_SHARES = (0.15, 0.25, 0.4, 0.55, 0.7, 0.85)


class Picker(Protocol):
    """Says which frames are answered anew; the others get the last answer again."""

    def __call__(self, frame: Frame) -> bool: ...


def every_frame(frame: Frame) -> bool:  # noqa: ARG001
    """No frame is skipped."""
    return True


class EveryNth:
    """One frame in n is answered."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._next = 0

    def __call__(self, frame: Frame) -> bool:  # noqa: ARG002
        picked = self._next % self._n == 0
        self._next += 1
        return picked


class PixelChange:
    """A frame is answered if its pixels changed enough since the last that was (Reducto, SIGCOMM 2020).

    Args:
        limit: mean squared difference of the model's input, values 0..255.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._last: npt.NDArray[np.float32] | None = None

    def __call__(self, frame: Frame) -> bool:
        pixels = frame.image.astype(np.float32)
        if self._last is not None and float(np.square(pixels - self._last).mean()) <= self._limit:
            return False
        self._last = pixels
        return True


def threshold_for(frames: Sequence[Frame], share: float) -> float:
    """The least threshold at which `PixelChange` answers at most a share of the frames, by bisection."""
    low, high = 1e-3, 255.0**2
    for _ in range(20):
        middle = (low * high) ** 0.5
        picks = PixelChange(middle)
        if sum(picks(frame) for frame in frames) > share * len(frames):
            low = middle
        else:
            high = middle
    return high


@dataclass(slots=True)
class Arm:
    """One setting of one method.

    Attributes:
        method: name of the tokenizer or control.
        options: of this setting.
        control: whether it is there to be beaten.
        engine: with the model that answers.
        tokenizer: plans the frames that are answered.
        picks: says which those are.
    """

    method: str
    options: Mapping[str, float | str]
    control: bool
    engine: Engine
    tokenizer: StreamTokenizer
    picks: Picker = every_frame


def full_arm(engine: Engine, precision: str | None = None) -> Arm:
    """The plain model; with its precision where that is not what it is held against."""
    options = {} if precision is None else {"precision": precision}
    return Arm(FullTokenizer.name, options, precision is not None, engine, SameTokenizer(FullTokenizer))


def tokenizer_arms(engine: Engine, asked: Sequence[Asked], words: Callable[[], Vocabulary]) -> list[Arm]:
    """An arm for every setting of the tokenizers.

    Args:
        engine: with the model that answers.
        asked: which.
        words: gives the visual words for those that want them.
    """
    arms: list[Arm] = []
    for one in asked:
        needs = StreamNeeds(GivenWords(words()) if one.wants_words else None)
        arms += [
            Arm(one.kind.name, options, one.kind.control, engine, one.kind.open(options, needs))
            for options in one.settings()
        ]
    return arms


def control_arms(engine: Engine, frames: Sequence[Frame]) -> list[Arm]:
    """What anybody could do instead: answer fewer frames, and give the last answer again between them."""
    plain = SameTokenizer(FullTokenizer)
    skips = [Arm("skip", {"n": n}, True, engine, plain, EveryNth(n)) for n in SKIPS]
    thresholds = dict.fromkeys(threshold_for(frames, share) for share in ADAPTIVE_SHARES)
    adaptive = [
        Arm("adaptive skip", {"over": threshold}, True, engine, plain, PixelChange(threshold))
        for threshold in thresholds
    ]
    return [*skips, *adaptive]
