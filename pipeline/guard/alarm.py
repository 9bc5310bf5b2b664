"""A scene that changes: a reason to look at once rather than when the draw says so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.frame import Pixels

# Every so many pixels are compared, across and down.
_EVERY = 8
# A frame that moves by so many times what is usual is another scene, or another kind of motion; below so many
# of 255 grey levels nothing of the sort happened.
_TIMES, _LEAST = 3.0, 4.0
# How fast the usual follows, and the least frames between two alarms: with the draws they stay below a
# twenty-fifth of all frames.
_FOLLOWS, _QUIET = 0.1, 50


class Alarm:
    """Watches how much a stream's frames differ from one to the next."""

    def __init__(self) -> None:
        self._last: npt.NDArray[np.int16] | None = None
        self._usual: float | None = None
        self._since = 0

    def rings(self, image: Pixels) -> bool:
        """Whether a frame (H, W, 3) uint8 moves far more than the frames before it did."""
        small = image[::_EVERY, ::_EVERY].astype(np.int16)
        last, self._last = self._last, small
        self._since += 1
        if last is None or last.shape != small.shape:
            return last is not None
        moved = float(np.abs(small - last).mean())
        usual, self._usual = self._usual, moved if self._usual is None else self._usual
        assert self._usual is not None
        self._usual += _FOLLOWS * (moved - self._usual)
        if usual is None or moved < max(_TIMES * usual, _LEAST) or self._since < _QUIET:
            return False
        self._since = 0
        return True
