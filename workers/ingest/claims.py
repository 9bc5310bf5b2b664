"""How many streams a replica should take, and how fast."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from workers.ingest.scaling import streams_that_fit
from workers.ingest.unread import Waiting
from workers.settings.schema import IngestSettings

# So far above the mean a replica may be before it gives streams away: each move costs a stream some frames.
_UNEVEN = 1.25
# Within a second: many opened at once overload a network, and what is to decode.
_MOST_TAKEN = 20


@dataclass(frozen=True, slots=True)
class Load:
    """How many streams a replica should read.

    Attributes:
        fair: an equal part of all streams, rounded up.
        most: what it keeps when others have less.
    """

    fair: int = 0
    most: int = 0

    @classmethod
    def of(cls, streams: int, replicas: int, target: int) -> Load:
        """Of so many streams and replicas, where `target` on each is no reason to move any."""
        mean = streams / max(replicas, 1)
        fair = math.ceil(mean)
        return cls(fair, max(fair, math.floor(_UNEVEN * mean), target))


class Claims:
    """What may be taken now of what nobody reads.

    Args:
        settings: of Ingest.
        clock: gives seconds; counts as `time.monotonic`.

    Attributes:
        load: as of the last look.
        fits: streams that it is to take, as of the last look.
    """

    def __init__(self, settings: IngestSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self.load = Load()
        self.fits = settings.streams_per_replica
        self._settings = settings
        self._clock = clock
        self._taken: deque[float] = deque(maxlen=_MOST_TAKEN)

    def look(self, streams: int, replicas: int, stream_cores: float) -> None:
        """There are so many streams to be read, and replicas that are alive; one takes so much of a core."""
        settings = self._settings
        self.fits = streams_that_fit(settings.cores_per_replica, stream_cores, settings.streams_per_replica)
        self.load = Load.of(streams, replicas, self.fits)

    def took(self) -> None:
        """A stream was taken."""
        self._taken.append(self._clock())

    @property
    def too_fast(self) -> bool:
        """Whether no more may be taken for now."""
        return len(self._taken) == _MOST_TAKEN and self._clock() - self._taken[0] < 1.0

    def limit(self, one: Waiting) -> int:
        """How many streams to hold at most with that one: as many as we should at once, later as we can."""
        most = self._settings.max_streams_per_replica
        if self._clock() - one.since > 2 * self._settings.lease_s:
            return most
        # One that is new can wait for the replica that is started for it.
        return min(max(self.fits, self.load.fair) if one.left else self.fits, most)
