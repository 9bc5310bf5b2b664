"""What a stream saves against running in full, as far as its audits prove it.

An audited frame is answered in full, too, so what it took tells what a frame costs in full. The frame before
it tells what one costs as it is: audits are drawn whatever the frames are, so that one is a random frame as
well, and what the audit changes in it is nothing. Both means are bounded by confidence sequences, each of
which may be wrong with half the probability, and so is their ratio.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from pipeline.guard.bounds import ALPHA, MeanBound
from pipeline.results import FrameResult
from pipeline.stats.phases import cost_in_full

# Bounds are of values in 0..1: of this many times what the first audited frame took. What takes longer than
# that counts as so long; resolution is a thousandth of it.
_SCALE = 4.0
# Frames whose energy is awaited, or known and perhaps asked for; the oldest go.
_MOST_OPEN = 1024
# Bounds this far apart tell a person nothing, and so many audits are about enough for nearer ones: 50 to 80
# where frames vary by 30 to 60 % and cost .3 to .9 of one in full.
_WIDE, _ENOUGH = 1.0, 60


@dataclass(frozen=True, slots=True)
class SavedShare:
    """1 - what a frame took / what it takes in full; negative where it took more.

    Attributes:
        mean: of the frames looked at; None before there were any.
        low, high: bounds for all frames; None where they say nothing.
    """

    mean: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def wide(self) -> bool:
        """Whether nothing, or next to nothing, is known beyond the frames looked at."""
        return self.low is None or self.high is None or self.high - self.low >= _WIDE

    def to_dict(self) -> dict[str, float | None]:
        """As JSON has it."""
        return {name: _rounded(getattr(self, name)) for name in ("mean", "low", "high")}

    def text(self) -> str | None:
        """For people; None where there is nothing to say. Bounds are left out where they are wide."""
        if self.mean is None:
            return None
        mean = f"{100 * self.mean:.0f} %"
        if self.low is None or self.high is None or self.wide:
            return mean
        return f"{mean} ({100 * self.low:.0f} to {100 * self.high:.0f} %)"


class _Saved:
    """Of one quantity."""

    def __init__(self) -> None:
        self._full, self._taken = MeanBound(ALPHA / 2), MeanBound(ALPHA / 2)
        self._most: float | None = None

    def add_full(self, value: float) -> None:
        if self._most is None:
            # It sets the scale and does not count, or the scale would depend on what it is for.
            self._most = _SCALE * value if value > 0 else None
            return
        self._full.add(min(value / self._most, 1.0))

    def add_taken(self, value: float) -> None:
        if self._most is not None:
            self._taken.add(min(max(value / self._most, 0.0), 1.0))

    def share(self) -> SavedShare:
        full, taken = self._full.interval, self._taken.interval
        if not full.mean or taken.mean is None:
            return SavedShare()
        return SavedShare(
            1 - taken.mean / full.mean,
            # One of more than twice the cost says nothing.
            1 - taken.high / full.low if taken.high < 2 * full.low else None,
            1 - taken.low / full.high,
        )


class Savings:
    """Of one stream with one setting of its tokenizer. Frames come in order, their energy at any time."""

    def __init__(self) -> None:
        self._time, self._joules = _Saved(), _Saved()
        self._shares, self._frames, self._audits = 0.0, 0, 0
        self._before: FrameResult | None = None
        # What of a frame's energy is wanted: None for what it took, else the part that it costs in full.
        self._wanted: OrderedDict[int, float | None] = OrderedDict()
        self._known: OrderedDict[int, float] = OrderedDict()

    def add(self, result: FrameResult) -> None:
        """Counts a frame, its energy aside."""
        if result.share is not None:
            self._shares += result.share
            self._frames += 1
        whole, before = cost_in_full(result), self._before
        self._before = result
        if whole is None or not _drawn(result):
            return
        self._audits += 1
        if result.device_ms is not None:
            self._time.add_full(whole * result.device_ms)
        self._want(result.frame, whole)
        if before is None or _drawn(before) or before.frame != result.frame - 1:
            return
        if before.device_ms is not None:
            self._time.add_taken(before.device_ms)
        self._want(before.frame, None)

    def energy(self, frame: int, joules: float) -> None:
        """The energy of a frame became known for good."""
        if frame in self._wanted:
            self._take(self._wanted.pop(frame), joules)
            return
        self._known[frame] = joules
        _trim(self._known)

    def to_dict(self) -> dict[str, Any] | None:
        """As JSON has it; None before the first audit."""
        if not self._audits:
            return None
        operations = None if not self._frames else 1 - self._shares / self._frames
        return {
            "audits": self._audits,
            "enough": _ENOUGH,
            # Counted on all frames, so there is nothing to be bounded.
            "operations": SavedShare(operations, operations, operations).to_dict(),
            "time": self._time.share().to_dict(),
            "joules": self._joules.share().to_dict(),
        }

    def _want(self, frame: int, whole: float | None) -> None:
        if frame in self._known:
            self._take(whole, self._known.pop(frame))
        else:
            self._wanted[frame] = whole
            _trim(self._wanted)

    def _take(self, whole: float | None, joules: float) -> None:
        if whole is None:
            self._joules.add_taken(joules)
        else:
            self._joules.add_full(whole * joules)


def saving_text(found: dict[str, Any]) -> str:
    """What `Savings.to_dict` says, in a line for people."""
    shares = {name: SavedShare(**found[name]) for name in ("time", "joules")}
    says = [f"{text} of the {name}" for name, share in shares.items() if (text := share.text()) is not None]
    counted = found["operations"]["mean"]
    if counted is not None:
        says.insert(0, f"{100 * counted:.0f} % of the operations")
    told = f"{', '.join(says)}, by {found['audits']} frames answered in full, too"
    vague = any(share.wide and share.mean is not None for share in shares.values())
    return f"{told} (bounds need about {_ENOUGH})" if vague else told


def _drawn(result: FrameResult) -> bool:
    return result.fidelity is not None or result.probed is not None


def _trim(values: OrderedDict[int, Any]) -> None:
    while len(values) > _MOST_OPEN:
        values.popitem(last=False)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
