"""Takes frames to the replica of Inference that has their stream: straight where it is on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.contract.messages import FrameBatch
from workers.direct.calls import Call, Lines
from workers.ingest.sender import Answer


class InferenceCalls:
    """Goes by Serve where a replica cannot be reached straight, as one on another machine.

    Also after a call that failed, since Serve knows what became of the replica.

    Args:
        by_serve: gives a batch to Inference by a handle of Serve.
        replica_of: name of the replica that has a stream (its id); None where it is not known.
    """

    def __init__(
        self, by_serve: Callable[[FrameBatch], Answer], replica_of: Callable[[str], str | None]
    ) -> None:
        self._by_serve = by_serve
        self._replica_of = replica_of
        self._lines = Lines()
        self._failed: set[str] = set()

    def infer(self, stream: str, batch: FrameBatch) -> Answer:
        """Gives a batch of a stream (by its id) to Inference; for any number of threads."""
        replica = self._replica_of(stream)
        line = None if replica is None or stream in self._failed else self._lines.to(replica)
        self._failed.discard(stream)
        if line is None:
            return self._by_serve(batch)
        return _Straight(line.call("infer", batch), lambda: self._failed.add(stream))

    def close(self) -> None:
        """Ends all connections."""
        self._lines.close()


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
