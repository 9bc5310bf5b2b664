"""The option by which a tokenizer trades fidelity for operations, as one scale."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

from pipeline.guard.promise import Promise
from pipeline.tokenizers.registry import Kind

# A target that recalls nothing but what has not changed at all.
_STRICTEST = 1 - 1e-6


class Scale(Protocol):
    """Positions from 0, where nothing is saved, to `most`; 1 is the mildest value that is worth trying.

    Attributes:
        name: of the option.
    """

    name: str

    @property
    def most(self) -> float:
        """The last position."""
        ...

    def value(self, position: float) -> float:
        """The option's value at a position."""
        ...

    def position(self, value: float) -> float:
        """Where a value lies; beyond the ends of the scale its nearest end."""
        ...


class Knob:
    """A `Scale` of what a tokenizer is tried at.

    Whole positions are the values that the tokenizer is tried at (`Option.tries`), mildest first; between
    them the option is interpolated.

    Args:
        kind: the tokenizer; one that has such an option.

    Attributes:
        name: of the option.
    """

    def __init__(self, kind: Kind) -> None:
        assert kind.knob is not None, f"{kind.name} has nothing to be moved"
        self.name, saving = kind.knob
        option = kind.options[self.name]
        none = option.ge if saving > 0 else option.le
        assert none is not None, f"{self.name} of {kind.name} has no value that saves nothing"
        self._whole = option.type is int
        self._ladder = [float(none), *sorted(map(float, option.tries), reverse=saving < 0)]

    @property
    def most(self) -> float:
        """The last position."""
        return len(self._ladder) - 1.0

    def value(self, position: float) -> float:
        """The option's value at a position."""
        below = min(int(position), len(self._ladder) - 2)
        low, high = self._ladder[below : below + 2]
        value = low + (position - below) * (high - low)
        return int(value) if self._whole else value

    def position(self, value: float) -> float:
        """Where a value lies; beyond the ends of the scale its nearest end."""
        for below, (low, high) in enumerate(pairwise(self._ladder)):
            part = (value - low) / (high - low)
            if part <= 1:
                return below + max(part, 0.0)
        return self.most


class Strictness:
    """A `Scale` of the target that a tokenizer holds by itself: from what is promised to ever stricter ones.

    A position below the last halves the error that is allowed.

    Args:
        name: of the option.
        promise: to keep.
    """

    most = 3.0

    def __init__(self, name: str, promise: Promise) -> None:
        self.name = name
        self._allowed = 1 - promise.target

    def value(self, position: float) -> float:
        """See `Scale.value`."""
        if position <= 0:
            return _STRICTEST
        return min(1 - self._allowed * 2 ** (min(position, self.most) - self.most), _STRICTEST)

    def position(self, value: float) -> float:
        """See `Scale.position`."""
        if value >= _STRICTEST:
            return 0.0
        return min(max(self.most + math.log2((1 - value) / self._allowed), 0.0), self.most)
