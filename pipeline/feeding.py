"""Takes sampled patches of frames to rolling windows, never in the way of a frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Full, Queue

from pipeline.frame import Frame
from vocab.errors import StoreUnavailable
from vocab.window import Patches, PatchSampler, RollingWindow

# Patches that wait for a slow store; beyond that the newest are left out, and counted.
_WAITING_FRAMES = 64


class WindowFeeder:
    """Writes to windows in a thread of its own.

    Args:
        capacity: sampled frames that may wait.

    Attributes:
        left_out: sampled frames whose patches did not reach their window.
    """

    def __init__(self, capacity: int = _WAITING_FRAMES) -> None:
        self.left_out = 0
        self._waiting: Queue[tuple[RollingWindow, Patches] | None] = Queue(capacity)
        self._thread = threading.Thread(target=self._feed, name="vwt-window", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Writes what waits, as far as its store takes it, and ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def sample(self, frames: Sequence[Frame], sampler: PatchSampler, window: RollingWindow) -> None:
        """Samples frames of one stream for a window; never waits for its store."""
        for frame in frames:
            pts_s = frame.times.pts_s
            patches = sampler.take(frame.image, frame.ready_at if pts_s is None else pts_s)
            if patches is not None:
                try:
                    self._waiting.put_nowait((window, patches))
                except Full:
                    self.left_out += 1

    def _feed(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            window, patches = waiting
            try:
                window.add(patches)
            except StoreUnavailable:
                # The keeper says that the store is away; a window with a gap is still a window.
                self.left_out += 1
