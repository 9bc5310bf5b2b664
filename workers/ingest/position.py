"""Where in its source a stream goes on after somebody else, or nobody, read it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus


@dataclass(frozen=True, slots=True)
class Position:
    """Where the present round of a source stands. A source that does not loop has one round.

    Attributes:
        next_frame: number of the next frame to be sent.
        loop_first: number the round's first sampled frame had, or would have had if those dropped since and
            those sampled at another rate had been counted like the others.
        start_s: presentation time of the stream when the round began.
        after_s: go on after this presentation time of the source; None to go by the count of frames.
    """

    next_frame: int
    loop_first: int
    start_s: float = 0.0
    after_s: float | None = None

    @property
    def skip(self) -> int:
        """Sampled frames of the round that are done with."""
        return 0 if self.after_s is not None else max(self.next_frame - self.loop_first, 0)

    def begun(self, passed: int) -> Position:
        """The same place, by the count of sampled frames that were passed over."""
        return replace(self, loop_first=self.next_frame - passed, after_s=None)

    def after(self, frames: int, late: int) -> Position:
        """Further by so many numbered frames, and so many that were sampled but dropped."""
        return replace(self, next_frame=self.next_frame + frames, loop_first=self.loop_first - late)

    def next_round(self, length_s: float) -> Position:
        """The start of the next round."""
        return Position(self.next_frame, self.next_frame, self.start_s + length_s)

    def status(self, spec: StreamSpec) -> dict[str, Any]:
        """Fields of `StreamStatus` that become durable with the results up to here."""
        return {"loop_first": self.loop_first, "round": _round(spec) | {"start_s": self.start_s}}


def resume(spec: StreamSpec, status: StreamStatus, next_frame: int, live: bool, now: float) -> Position:
    """Where a stream goes on.

    Args:
        spec: what is to be read.
        status: what is known of what was read before.
        next_frame: number of the frame after the last durable result.
        live: whether the source comes at its own pace.
        now: Unix seconds.
    """
    last_s = status.pts_s
    if live:
        away_s = max(now - (status.results_at or now), 0.0)
        return Position(next_frame, next_frame, 0.0 if last_s is None else last_s + away_s)
    before = dict(status.round or {})
    start_s = before.pop("start_s", 0.0)
    if before == _round(spec):
        return Position(next_frame, status.loop_first, start_s)
    if before.get("source") == spec.display and last_s is not None:
        return Position(next_frame, next_frame, start_s, after_s=last_s - start_s)
    return Position(next_frame, next_frame)


def _round(spec: StreamSpec) -> dict[str, Any]:
    return {"source": spec.display, "fps": spec.fps}
