"""Frames of streams that were shown lately, or are the next, to be looked at once more."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace

from pipeline.engine import Engine
from pipeline.errors import ServiceError, UsageError
from pipeline.frame import Frame
from workers.contract.messages import TokenSettings
from workers.inference.queue import Request

# A stream that gives a frame less often is not one that somebody can click along with.
_WITHIN_S = 8.0
# What was shown is kept for so long, and so much of all streams together.
_KEPT_S = 10.0
_KEPT_BYTES = 32 * 2**20
# What somebody draws in is kept for longer, the oldest of so many frames first.
_HELD_S = 120.0
_HELD = 8


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A frame of a stream, and how it runs.

    Attributes:
        frame: as the model takes it.
        number: of the frame.
        engine: runs it.
        settings: that it came with.
    """

    frame: Frame
    number: int
    engine: Engine
    settings: TokenSettings


class Moments:
    """Gives frames of streams that were shown lately, or the next that ran; frames come from any thread.

    Args:
        within_s: how long the next is waited for.
        kept_bytes: of what was shown.
    """

    def __init__(self, within_s: float = _WITHIN_S, kept_bytes: int = _KEPT_BYTES) -> None:
        self._within_s = within_s
        self._kept_bytes = kept_bytes
        # By stream and number, oldest first, with when it was shown.
        self._kept: dict[tuple[str, int], tuple[float, Shown]] = {}
        # Those somebody draws in, the same way.
        self._held: dict[tuple[str, int], tuple[float, Shown]] = {}
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Future[Shown]]] = {}

    def keep(self, stream: str, shown: Shown) -> None:
        """Keeps a frame that somebody gets to see."""
        # Else all frames of its message would be kept.
        own = replace(shown, frame=replace(shown.frame, image=shown.frame.image.copy()))
        with self._lock:
            self._kept[stream, shown.number] = (time.monotonic(), own)
            while sum(one.frame.image.nbytes for _, one in self._kept.values()) > self._kept_bytes:
                del self._kept[next(iter(self._kept))]

    def at(self, stream: str, number: int | None) -> Shown | None:
        """A frame that was shown; None where it is not at hand any more."""
        if number is None:
            return None
        now, key = time.monotonic(), (stream, number)
        with self._lock:
            # Numbers begin anew where another stream gets the name.
            self._kept = {key: one for key, one in self._kept.items() if one[0] > now - _KEPT_S}
            self._held = {key: one for key, one in self._held.items() if one[0] > now - _HELD_S}
            found = self._kept.get(key) or self._held.get(key)
        return None if found is None else found[1]

    def drawn_in(self, stream: str, number: int) -> Shown:
        """A frame that was shown, kept for two minutes from now on: drawing in it takes its time.

        Raises:
            UsageError: it is not at hand any more.
        """
        shown = self.at(stream, number)
        if shown is None:
            raise UsageError(
                f"frame {number} of {stream} is no longer at hand, {_KEPT_S:g} s after it was shown: draw in "
                "the next picture"
            )
        with self._lock:
            # As the newest.
            self._held.pop((stream, number), None)
            self._held[stream, number] = (time.monotonic(), shown)
            while len(self._held) > _HELD:
                del self._held[next(iter(self._held))]
        return shown

    async def next(self, stream: str) -> Shown:
        """The next frame of a stream.

        Raises:
            ServiceError: none came in time.
        """
        future: Future[Shown] = Future()
        with self._lock:
            self._waiting.setdefault(stream, []).append(future)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._within_s)
        except TimeoutError:
            raise ServiceError(
                f"no frame of {stream} came within {self._within_s:g} s; see the state of the stream"
            ) from None
        finally:
            self._leave(stream, future)

    def show(self, stream: str, shown: Shown) -> None:
        """Gives a frame to who waits for one of its stream."""
        with self._lock:
            waiting = self._waiting.pop(stream, ())
        for future in waiting:
            # Who waits may have gone just now.
            if future.set_running_or_notify_cancel():
                future.set_result(shown)

    def _leave(self, stream: str, future: Future[Shown]) -> None:
        with self._lock:
            left = [one for one in self._waiting.pop(stream, ()) if one is not future]
            if left:
                self._waiting[stream] = left


def shown_of(request: Request) -> Shown:
    """The last frame of a message that ran."""
    assert request.batch is not None
    last = request.batch.first + len(request.frames) - 1
    return Shown(request.frames[-1], last, request.engine, request.settings)
