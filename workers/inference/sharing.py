"""Who gets what where a replica has not enough for all its streams: under overload, or by a budget.

Every few seconds it looks at what the streams wanted. Where that is too much quality gives way first, a step
at a time: the target of the stream whose priority is lowest and of which an operation buys least, down to
what it allows. What is still too much is taken from the frames, by water-filling: streams of equal priority
get equal operations, none more than it wants, and Ingest takes the newest frame whenever one is due. With
room again targets rise, the dearest first.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.guard.guarded import Guarded
from workers.contract.share import Share
from workers.inference.filling import fill
from workers.settings.budget import Budget

# Seconds between two looks, and that one looks back.
_TURN_S, _LOOK_BACK_S = 2.0, 8.0
# A stream without a frame for so long wants none; longer than Ingest ever waits for a turn.
_GONE_S = 40.0
# Steps of quality, of all it may give; how many looks in a row must find room before it is given back.
_GIVE, _TAKE_BACK, _PATIENCE = 0.25, 0.125, 4
# A device busier than this is about to lose frames; below the second there is room. A stream whose share of
# lost frames is above the third loses some.
_FULL, _ROOM, _LOSING = 0.95, 0.8, 0.05
# With a budget there is room below this part of it.
_BUDGET_ROOM = 0.85
# How much more than it was seen to do a full device may be asked for, so that a share can grow.
_PROBE = 1.05
# How fast what a watt or a core does is followed.
_KEEP = 0.9


@dataclass(frozen=True, slots=True)
class Done:
    """A message that ran.

    Attributes:
        frames: that got a result.
        late: frames dropped before them because inference was slower.
        flops: operations of the frames, audits included.
        saved: operations that `full` would have cost more.
        passes: when each pass began (`time.monotonic()`), and how many seconds it took.
    """

    frames: int
    late: int
    flops: int
    saved: float
    passes: Sequence[tuple[float, float]]


@dataclass(slots=True, eq=False)
class _Stream:
    guarded: Guarded
    priority: float
    live: bool
    begun_at: float
    ran_at: float
    done: deque[tuple[float, Done]] = field(default_factory=deque)
    fps: float = 0.0
    lost_fps: float = 0.0
    flops_of_frame: float = 0.0
    saved_of_frame: float = 0.0
    interval_s: float | None = None

    @property
    def used(self) -> float:
        """Operations per second."""
        return self.fps * self.flops_of_frame

    @property
    def wanted(self) -> float:
        """The same if every frame got a result."""
        return (self.fps + self.lost_fps) * self.flops_of_frame if self.live else math.inf

    @property
    def loses(self) -> bool:
        return self.lost_fps > _LOSING * (self.fps + self.lost_fps)

    @property
    def buys(self) -> float:
        """Error that an operation more spares, as audits know it: of what was saved, by what it cost."""
        error = self.guarded.fidelity.error.mean
        return (0.01 if error is None else error) / max(self.saved_of_frame, 1.0)

    def look_back(self, now: float) -> None:
        while self.done and self.done[0][0] < now - _LOOK_BACK_S:
            self.done.popleft()
        seconds = min(max(now - self.begun_at, 1.0), _LOOK_BACK_S)
        frames = sum(one.frames for _, one in self.done)
        if not frames and self.interval_s is not None:
            # Its turn comes more rarely than that.
            return
        self.fps = frames / seconds
        self.lost_fps = sum(one.late for _, one in self.done) / seconds
        if frames:
            self.flops_of_frame = sum(one.flops for _, one in self.done) / frames
            self.saved_of_frame = sum(one.saved for _, one in self.done) / frames


class Sharing:
    """Of one replica; from any thread.

    Args:
        budget: that its streams share; None for what the device can do.
        cores: threads that compute a pass on the CPU.
        clock: seconds that do not go back, the same as of passes.

    Attributes:
        room: whether there was any for more frames at the last look.
    """

    def __init__(
        self, budget: Budget | None, cores: int = 1, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._budget = budget
        self._cores = cores
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._passes: dict[float, float] = {}
        self.room = True
        self._quiet = 0
        self._pressed = False
        self._joules = self._flops = self._core_s = 0.0
        self._turned_at = clock()
        self._lock = threading.Lock()

    def ran(self, name: str, guarded: Guarded, priority: float, live: bool, done: Done) -> None:
        """Takes in a message that ran.

        Args:
            name: of the stream.
            guarded: its tokenizer; asked to give way.
            priority: its weight.
            live: whether its frames come at their own pace.
            done: what became of the message.
        """
        now = self._clock()
        with self._lock:
            stream = self._streams.get(name)
            if stream is None or stream.guarded is not guarded:
                stream = self._streams[name] = _Stream(guarded, priority, live, now, now)
            stream.ran_at = now
            stream.done.append((now, done))
            self._flops += done.flops
            for at, seconds in done.passes:
                if at not in self._passes:
                    self._passes[at] = seconds
                    self._core_s += self._cores * seconds
            if now - self._turned_at >= _TURN_S:
                self._turned_at = now
                self._turn(now)

    def metered(self, joules: float) -> None:
        """Frames took so much."""
        with self._lock:
            self._joules += joules

    def interval_s(self, name: str) -> float | None:
        """Seconds from one frame of a stream to the next at least; None where all may come."""
        stream = self._streams.get(name)
        return None if stream is None else stream.interval_s

    def share(self, name: str) -> Share | None:
        """What a stream gets; None where there is enough for all, and no budget."""
        with self._lock:
            stream = self._streams.get(name)
            if stream is None:
                return None
            own, held = stream.guarded.own_target, stream.guarded.target
            share = Share(
                priority=stream.priority,
                gflops=round(stream.used / 1e9, 3),
                fps=None if stream.interval_s is None else round(1 / stream.interval_s, 3),
                target=held,
                own_target=own,
                budget=self._budget_fields(),
            )
        return share if share.budget is not None or share.lowered or share.fps is not None else None

    def _budget_fields(self) -> dict[str, str | float | None] | None:
        if self._budget is None:
            return None
        limit = self._limit()
        used = sum(stream.used for stream in self._streams.values())
        value = self._budget.value
        return {
            "unit": self._budget.unit,
            "limit": value,
            "used": None if limit is None else round(value * used / limit, 3),
        }

    def _limit(self) -> float | None:
        """The budget in operations per second; None where it is not known yet what they cost."""
        if self._budget is None:
            return None
        if self._budget.unit == "gflops":
            return self._budget.value * 1e9
        spent = self._joules if self._budget.unit == "watts" else self._core_s
        return self._budget.value * self._flops / spent if spent and self._flops else None

    def _turn(self, now: float) -> None:
        for name, stream in list(self._streams.items()):
            if stream.ran_at < now - _GONE_S:
                del self._streams[name]
                continue
            stream.look_back(now)
        limit = self._limit()
        over, room, by = self._by_load(now) if self._budget is None else self._by_budget(limit)
        self.room = self._busy(now) < _ROOM if by == "load" else room
        if over:
            self._quiet = 0
            self._give()
        elif room:
            self._quiet += 1
            if self._quiet >= _PATIENCE:
                self._quiet = 0
                self._take_back()
        else:
            self._quiet = 0
        self._pace(limit if by == "budget" else self._capacity(over, room))
        self._joules, self._flops, self._core_s = (
            _KEEP * sum_ for sum_ in (self._joules, self._flops, self._core_s)
        )

    def _by_budget(self, limit: float | None) -> tuple[bool, bool, Literal["budget"]]:
        # A file takes what is left of it, and gives no quality away for more.
        wanted = sum(stream.wanted for stream in self._streams.values() if stream.live)
        if limit is None:
            return False, False, "budget"
        return wanted > limit, wanted < _BUDGET_ROOM * limit, "budget"

    def _busy(self, now: float) -> float:
        self._passes = {at: s for at, s in self._passes.items() if at > now - _LOOK_BACK_S}
        return sum(self._passes.values()) / _LOOK_BACK_S

    def _by_load(self, now: float) -> tuple[bool, bool, Literal["load"]]:
        busy = self._busy(now)
        live = [stream for stream in self._streams.values() if stream.live]
        losing = any(stream.loses for stream in live)
        # With a file there the device is always full.
        files = len(live) < len(self._streams)
        over = busy > _FULL and bool(live) and (losing or not files)
        return over, not losing and (files or busy < _ROOM), "load"

    def _capacity(self, over: bool, room: bool) -> float | None:
        """What a full device does, where some of its streams are to get more of it than others."""
        self._pressed = over or (self._pressed and not room)
        priorities = {stream.priority for stream in self._streams.values()}
        if not self._pressed or len(priorities) < 2:
            return None
        return _PROBE * sum(stream.used for stream in self._streams.values())

    def _give(self) -> None:
        able = [stream for stream in self._streams.values() if stream.guarded.may_give]
        if able:
            least = min(able, key=self._dearness)
            least.guarded.give(least.guarded.given + _GIVE)

    def _take_back(self) -> None:
        given = [stream for stream in self._streams.values() if stream.guarded.given > 0]
        if given:
            dearest = max(given, key=self._dearness)
            dearest.guarded.give(dearest.guarded.given - _TAKE_BACK)

    def _dearness(self, stream: _Stream) -> tuple[float, float]:
        # A budget weighs the two; under overload who is less important gives way before all others.
        if self._budget is not None:
            return stream.priority * stream.buys, 0.0
        return stream.priority, stream.buys

    def _pace(self, limit: float | None) -> None:
        wanted = {name: stream.wanted for name, stream in self._streams.items()}
        weights = {name: stream.priority for name, stream in self._streams.items()}
        got: Mapping[str, float] = wanted if limit is None else fill(limit, wanted, weights)
        for name, stream in self._streams.items():
            enough = got[name] >= wanted[name] or not got[name]
            stream.interval_s = None if enough else stream.flops_of_frame / got[name]
