"""Holds a promise at the least compute: moves the tokenizer's knob by what audits find."""

from __future__ import annotations

from pipeline.guard.knob import Scale
from pipeline.guard.promise import Promise

# A broken promise takes the knob back by this many positions, twice that for an error of twice the allowed
# size. A kept one lets it on by as much less as breaks are rarer, so that in the long run just those frames
# miss that may, or a little less than those (`_AIM`); faster by up to `_MOST_EASE` while errors are far from
# what is allowed.
_STEP = 0.5
_AIM = 0.8
_MOST_EASE = 4.0
# Where a stream that runs in full is probed, and how many probes in a row must keep the promise. Each return
# that does not last doubles the number, one that lasts this many audits forgets it.
_PROBE = 1.0
_PROBES, _MOST_PROBES = 5, 160
_LASTED = 40


class Guard:
    """Of one stream.

    Args:
        knob: to move.
        promise: to keep.
        start: value of the knob's option at first.
        most_ease: how much faster than in the long run the knob may be let on; 1 where answers are either
            right or far off, so that how far most of them are from missing says nothing of the others.

    Attributes:
        full: whether frames run in full, since the promise cannot be held otherwise.
        looks, missed: answers that were heard of, and how many of them broke the promise.
    """

    def __init__(self, knob: Scale, promise: Promise, start: float, most_ease: float = _MOST_EASE) -> None:
        self._knob = knob
        self._promise = promise
        self._position = knob.position(start)
        self._most_ease = most_ease
        self.full = self._position <= 0
        self._probes = _PROBES
        self._good = 0
        self._since = 0
        self.looks = self.missed = 0

    @property
    def tightened(self) -> bool:
        """Whether less is saved than there was to save at most."""
        return self.full or self._position < self._knob.most

    @property
    def value(self) -> float:
        """Of the knob's option from now on; while frames run in full, that of the probes."""
        return self._knob.value(_PROBE if self.full else self._position)

    def promises(self, promise: Promise, knob: Scale) -> None:
        """Keeps another promise from now on, with the same knob or one like it."""
        self._promise, self._knob = promise, knob

    @property
    def none(self) -> float:
        """The value at which nothing is saved."""
        return self._knob.value(0.0)

    def hear(self, error: float, drawn: bool = True) -> None:
        """Acts on an audit.

        Args:
            error: of the answer; while frames run in full, of what would have been answered at `value`.
            drawn: whether the frame was drawn at random. Else it can only warn: that it misses nothing says
                nothing of the others.
        """
        missed = self._promise.missed(error)
        self.looks += 1
        self.missed += missed > self._promise.may_miss
        if not drawn and missed <= self._promise.may_miss:
            return
        if self.full:
            self._probed(missed)
            return
        self._since += 1
        if self._since == _LASTED:
            self._probes = _PROBES
        self._position += self._move(error, missed)
        if self._position <= 0:
            self._give_up()
        self._position = min(self._position, self._knob.most)

    def _move(self, error: float, missed: float) -> float:
        may, room = _AIM * self._promise.may_miss, self._promise.room(error)
        if missed > may:
            return -_STEP * min(1 - room, 2.0) * missed
        return _STEP * (may - missed) / (1 - may) * min(max(room, 1.0), self._most_ease)

    def _give_up(self) -> None:
        if self._since < _LASTED:
            self._probes = min(2 * self._probes, _MOST_PROBES)
        self.full, self._good = True, 0

    def _probed(self, missed: float) -> None:
        self._good = 0 if missed > self._promise.may_miss else self._good + 1
        if self._good >= self._probes:
            self.full, self._position, self._since = False, _PROBE, 0
