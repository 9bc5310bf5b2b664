"""Device events on the host's monotonic clock, without synchronising the device per batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import torch

# The clocks of a GPU and its host drift apart by some 20 ppm, so by .6 ms in this time. `elapsed_time` is a
# float32 of milliseconds, exact to some microseconds within it.
_ANCHOR_LIFE_S = 30.0
# A host that was held up between its looks at the clock does not know when the event was.
_TRIES, _CLOSE_S = 3, 1e-4


class Event(Protocol):
    """What is asked of `torch.cuda.Event`."""

    def synchronize(self) -> None: ...

    def elapsed_time(self, end_event: Self) -> float: ...


@dataclass(frozen=True, slots=True, eq=False)
class Anchor:
    """An event whose time by the host's clock is known, as that of others that follow it therefore is.

    Attributes:
        event: on the device.
        at_s: when it was, in `time.monotonic()` seconds.
    """

    event: Event
    at_s: float

    def seconds(self, event: Event) -> float:
        """Waits for a later event; gives its time in `time.monotonic()` seconds."""
        event.synchronize()
        return self.at_s + self.event.elapsed_time(event) / 1000


class Anchors:
    """Gives anchors, one for every 30 seconds: the drift between two clocks does not add up.

    Args:
        record: an event on a stream that nobody else uses, so that it comes at once.
        clock: monotonic seconds.
    """

    def __init__(self, record: Callable[[], Event], clock: Callable[[], float] = time.monotonic) -> None:
        self._record = record
        self._clock = clock
        self._latest = self._look()

    def latest(self) -> Anchor:
        """For what is recorded from now on, until the next is asked for."""
        if self._clock() - self._latest.at_s > _ANCHOR_LIFE_S:
            self._latest = self._look()
        return self._latest

    def _look(self) -> Anchor:
        best: tuple[float, Anchor] | None = None
        for _ in range(_TRIES):
            before_s = self._clock()
            event = self._record()
            event.synchronize()
            took_s = self._clock() - before_s
            if best is None or took_s < best[0]:
                best = took_s, Anchor(event, before_s + took_s / 2)
            if took_s < _CLOSE_S:
                break
        assert best is not None
        return best[1]


class CudaTimeline:
    """The streams of one device and the time of events on them.

    Attributes:
        upload: the stream for uploads and planning, beside the current stream that computes; what it is told
            does not wait behind kernels of that one that have not begun.
    """

    def __init__(self, device: torch.device) -> None:
        self.upload = torch.cuda.Stream(device, priority=-1)
        self._idle = torch.cuda.Stream(device)
        self._anchors = Anchors(self._mark_idle)

    def anchor(self) -> Anchor:
        """By which the marks of the next batch are told."""
        return self._anchors.latest()

    def mark(self, stream: torch.cuda.Stream | None = None) -> torch.cuda.Event:
        """An event at this point of a stream; of the current one where none is named."""
        event = torch.cuda.Event(enable_timing=True)
        event.record(stream)
        return event

    def _mark_idle(self) -> torch.cuda.Event:
        return self.mark(self._idle)


def with_planning(planned: tuple[float, float] | None, ran: tuple[float, float]) -> tuple[float, float]:
    """When a batch was worked on, told as one span: as if it had been planned right before it ran.

    Where nothing else runs meanwhile, that is how it was. Where the batch before it still runs, the end of
    that one and the planning are one span each, and share the power of this time.

    Args:
        planned: when its upload and its planning began and ended; None where there was none.
        ran: when the rest did.
    """
    start_s, end_s = ran
    return (start_s if planned is None else start_s - (planned[1] - planned[0])), end_s
