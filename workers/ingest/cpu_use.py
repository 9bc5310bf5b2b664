"""What a stream takes of the CPU, measured on those that are read here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# Taken for granted where nothing was measured: a camera sampled at 5 frames/s, see deploy/README.md.
ASSUMED_CORES = 0.045
# That counts as if it had been seen for so many seconds of one stream.
_ASSUMED_S = 10.0
# What was measured so long ago counts e times less.
_REMEMBERED_S = 30.0


class CpuUse:
    """Of a process that does nothing but read streams.

    Args:
        cpu: seconds of CPU that all threads of the process have used.
        clock: seconds; counts as `time.monotonic`.
    """

    def __init__(
        self, cpu: Callable[[], float] = time.process_time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._cpu, self._clock = cpu, clock
        self._at, self._cpu_s = clock(), cpu()
        self._spent_s = self._streams_s = 0.0

    def look(self, streams: int) -> None:
        """So many streams were read since the last look."""
        now, cpu_s = self._clock(), self._cpu()
        passed, spent = now - self._at, cpu_s - self._cpu_s
        self._at, self._cpu_s = now, cpu_s
        kept = math.exp(-passed / _REMEMBERED_S)
        self._spent_s = kept * self._spent_s + (spent if streams else 0.0)
        self._streams_s = kept * self._streams_s + streams * passed

    @property
    def stream_cores(self) -> float:
        """The part of a core that a stream takes, over the last half minute or so."""
        return (self._spent_s + ASSUMED_CORES * _ASSUMED_S) / (self._streams_s + _ASSUMED_S)
