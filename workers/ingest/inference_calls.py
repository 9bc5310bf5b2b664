"""Takes frames to the replica of Inference that has their stream: straight where it is on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.contract.messages import BatchDone, FrameBatch
from workers.direct.calls import Call, Lines
from workers.ingest.sender import Answer

# After so long Serve is asked again where a stream belongs: replicas come and go.
_ASK_EVERY_S = 5.0
_MOST_STREAMS = 4096


@dataclass(frozen=True, slots=True)
class _Home:
    replica: str
    until_s: float


class InferenceCalls:
    """Sends some frames of a stream as Serve leads them, first and now and then, and the others after them.

    What fails goes by Serve the next time, which knows what became of the replica.

    Args:
        by_serve: gives a batch to Inference by a handle of Serve.
    """

    def __init__(self, by_serve: Callable[[FrameBatch], Answer]) -> None:
        self._by_serve = by_serve
        self._lines = Lines()
        self._homes: dict[str, _Home] = {}

    def infer(self, stream: str, batch: FrameBatch) -> Answer:
        """Gives a batch of a stream (by its id) to Inference; for any number of threads."""
        home = self._homes.get(stream)
        if home is not None and time.monotonic() < home.until_s:
            line = self._lines.to(home.replica)
            if line is not None:
                return _Straight(line.call("infer", batch), lambda: self._homes.pop(stream, None))
        return _Led(self._by_serve(batch), lambda replica: self._led(stream, replica))

    def close(self) -> None:
        """Ends all connections."""
        self._lines.close()

    def _led(self, stream: str, replica: str) -> None:
        if len(self._homes) >= _MOST_STREAMS:
            self._homes.clear()
        self._homes[stream] = _Home(replica, time.monotonic() + _ASK_EVERY_S)


@dataclass(frozen=True, slots=True)
class _Straight:
    """An answer on a connection of ours."""

    call: Call
    failed: Callable[[], object]

    def result(self, *, timeout_s: float | None = None) -> Any:
        """See `Answer`."""
        try:
            return self.call.result(timeout_s=timeout_s)
        except Exception:
            if self.call.future.done():
                self.failed()
            raise


@dataclass(frozen=True, slots=True)
class _Led:
    """An answer by Serve: it says who gave it."""

    answer: Answer
    told: Callable[[str], None]

    def result(self, *, timeout_s: float | None = None) -> Any:
        """See `Answer`."""
        done: BatchDone = self.answer.result(timeout_s=timeout_s)
        if done.replica is not None:
            self.told(done.replica)
        return done
