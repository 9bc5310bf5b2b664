"""Audits: now and then a frame is answered in full, too, to see what its answer is worth."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.guard.bounds import MeanBound, RecentBound
from pipeline.guard.compare import Compared, cosine
from pipeline.guard.promise import Promise
from pipeline.guard.stream_fidelity import StreamFidelity
from pipeline.results import Audit

_HOUR_S = 3600.0
# A cosine distance of the pooled features is in 0..2; bounds are of values in 0..1.
_LARGEST_ERROR = 1.0
# What is judged where nothing is promised.
_USUAL = Promise(0.98)


class Draw:
    """Draws frames at random, each with the same probability whatever is in it.

    A draw that could not be carried out, because the pass had one already, is made up for by the next frame.

    Args:
        share: of the frames.
        seed: of the draws.
    """

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._random = np.random.default_rng(seed)
        self._owed = False

    def of(self, count: int) -> int | None:
        """Which of the next frames is drawn; None for none. Of several in one batch the first."""
        drawn = np.flatnonzero(self._random.random(count) < self._share)
        if self._owed:
            self._owed = False
            return 0
        return int(drawn[0]) if len(drawn) else None

    def owe(self) -> None:
        """The last draw was not carried out."""
        self._owed = True


class Audits:
    """Of one stream and one setting of its tokenizer.

    Args:
        promise: by which answers are judged.
        clock: seconds that do not go back.
    """

    def __init__(self, promise: Promise | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = _USUAL.target if promise is None or promise.by != "cosine" else promise.target
        self._clock = clock
        self._missed, self._error, self._agreement = MeanBound(), MeanBound(), MeanBound()
        self._missed_hour, self._error_hour = RecentBound(_HOUR_S), RecentBound(_HOUR_S)
        self._before: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]] | None = None
        self._audits = 0
        self._audit_flops = 0
        self._flops = 0

    def ran(self, flops: int) -> None:
        """Counts what frames cost, audits apart."""
        self._flops += flops

    def add(self, found: Compared, flops: int) -> Audit:
        """Takes in what an audit found.

        Args:
            found: the answer beside that of `full`.
            flops: of the frame without its audit.

        Returns:
            What the frame's result says of it.
        """
        now_s = self._clock()
        error = min(max(1 - found.cosine, 0.0), _LARGEST_ERROR)
        missed = float(error > 1 - self._target)
        self._audits += 1
        self._audit_flops += found.flops
        self._missed.add(missed)
        self._missed_hour.add(missed, now_s)
        self._error.add(error)
        self._error_hour.add(error, now_s)
        if found.agreement is not None:
            self._agreement.add(found.agreement)
        change = None
        if self._before is not None:
            moved, should = found.given - self._before[0], found.other - self._before[1]
            if np.linalg.norm(should):
                change = cosine(moved, should) if np.linalg.norm(moved) else 0.0
        self._before = found.given, found.other
        return Audit(
            found.cosine, found.agreement, change, found.flops / (found.flops + flops), self.fidelity()
        )

    def looked(self, found: Compared) -> None:
        """Counts the cost of a look that was no draw."""
        self._audit_flops += found.flops

    def probed(self, found: Compared) -> None:
        """Takes in that a frame ran in full, so that there was nothing to miss."""
        now_s = self._clock()
        self._audits += 1
        self._audit_flops += found.flops
        for mean in (self._missed, self._error):
            mean.add(0.0)
        for recent in (self._missed_hour, self._error_hour):
            recent.add(0.0, now_s)

    def fidelity(self) -> StreamFidelity:
        """All that is known so far."""
        now_s = self._clock()
        spent = self._flops + self._audit_flops
        return StreamFidelity(
            audits=self._audits,
            target=self._target,
            missed=self._missed.interval,
            missed_hour=self._missed_hour.interval(now_s),
            error=self._error.interval,
            error_hour=self._error_hour.interval(now_s),
            agreement=self._agreement.interval,
            share=self._audit_flops / spent if spent else None,
        )
