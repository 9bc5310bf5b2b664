"""Device events on the host's monotonic clock, without synchronising the device per batch."""

from __future__ import annotations

import time

import torch

# `elapsed_time` is a float32 of milliseconds; a near anchor keeps it exact to a few microseconds.
_ANCHOR_LIFE_S = 30.0


class CudaTimeline:
    """The streams of one device and the time of events on them.

    Attributes:
        upload: the stream for uploads and planning, beside the current stream that computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.upload = torch.cuda.Stream(device)
        self._anchor = torch.cuda.Event(enable_timing=True)
        self._anchor.record(torch.cuda.current_stream(device))
        self._anchor.synchronize()
        self._anchor_s = time.monotonic()

    def mark(self) -> torch.cuda.Event:
        """An event at this point of the current stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, event: torch.cuda.Event) -> float:
        """Waits for the event; gives its time in `time.monotonic()` seconds."""
        event.synchronize()
        elapsed: float = self._anchor.elapsed_time(event) / 1000
        at = self._anchor_s + elapsed
        if elapsed > _ANCHOR_LIFE_S:
            self._anchor, self._anchor_s = event, at
        return at
