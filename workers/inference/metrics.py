"""Metrics of an Inference replica, through Ray: they come out at the metrics port of its node."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from ray.util.metrics import Counter, Gauge

from workers.telemetry.metrics import (
    BACKLOG,
    PASS,
    PASS_FRAMES,
    RECALL_BYTES,
    RECALL_FORGOTTEN,
    SETTLE,
    WAITED,
    WRITE,
    histogram,
)

# Batches whose energy is awaited; the oldest go.
_MOST_AWAITED = 4096


class PassMetrics:
    """What the device thread tells, once per pass: some microseconds."""

    def __init__(self) -> None:
        self._frames = Counter(PASS_FRAMES.name, PASS_FRAMES.help)
        self._pass_s = histogram(PASS)
        self._waited_s = histogram(WAITED)
        self._backlog = Gauge(BACKLOG.name, BACKLOG.help)

    def left(self, frames: int) -> None:
        """So many frames wait for the passes to come."""
        self._backlog.set(frames)

    def began(self, frames: int, waited_s: float) -> None:
        """A pass of so many frames begins; those that waited for longest waited so long."""
        self._frames.inc(frames)
        self._waited_s.observe(waited_s)

    def ended(self, device_s: float) -> None:
        """A pass kept the device busy for so long."""
        self._pass_s.observe(device_s)


class RecallMetrics:
    """What streams keep of earlier frames, told whenever a stream has frames."""

    def __init__(self) -> None:
        self._bytes = Gauge(RECALL_BYTES.name, RECALL_BYTES.help)
        self._forgotten = Counter(RECALL_FORGOTTEN.name, RECALL_FORGOTTEN.help)

    def keeps(self, bytes_: int) -> None:
        """All streams together keep so much."""
        self._bytes.set(bytes_)

    def forgot(self) -> None:
        """A stream lost what it kept, to make room for others."""
        self._forgotten.inc()


class WriteMetrics:
    """What the writer tells, once per batch of a stream; from any thread."""

    def __init__(self) -> None:
        self._write_s = histogram(WRITE)
        self._settle_s = histogram(SETTLE)
        self._lock = threading.Lock()
        self._awaited: dict[tuple[str, int], float] = {}

    def wrote(self, stream: str, last: int, done_at: float, energy_follows: bool) -> None:
        """A batch is durable.

        Args:
            stream: its id.
            last: number of its last frame.
            done_at: `time.monotonic()` when it left the device.
            energy_follows: whether its energy is still to come.
        """
        now = time.monotonic()
        self._write_s.observe(now - done_at)
        if energy_follows:
            with self._lock:
                self._awaited[stream, last] = now
                if len(self._awaited) > _MOST_AWAITED:
                    del self._awaited[next(iter(self._awaited))]

    def settled(self, stream: str, frames: Iterable[int]) -> None:
        """The energy of frames became known."""
        now = time.monotonic()
        with self._lock:
            known = [at for frame in frames if (at := self._awaited.pop((stream, frame), None)) is not None]
        for at in known:
            self._settle_s.observe(now - at)
