"""What a stream is promised, and what an audited answer says of it. Free of torch."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from pipeline.errors import UsageError

By = Literal["cosine", "agreement"]

# Frames that may miss a promised cosine: it is a 5th percentile.
_MAY_MISS = 0.05


class Promise(NamedTuple):
    """A target for the answers of a stream.

    Attributes:
        target: by "cosine": what the 5th percentile of the cosine to the answers of `full` is to be at least;
            by "agreement": the same of the mean agreement, see `compare.agreement`.
        by: which.
    """

    target: float
    by: By = "cosine"

    def check(self) -> Promise:
        """Itself.

        Raises:
            UsageError: the target cannot be right.
        """
        if not 0.5 <= self.target < 1:
            raise UsageError(f"--guard {self.target} is out of range: give a {self.by} from 0.5 to 1, 1 excluded")
        return self

    def error(self, cosine: float, agreement: float | None) -> float:
        """Of an answer by what is promised; where there is nothing to agree on, its cosine stands in."""
        return 1 - (cosine if self.by == "cosine" or agreement is None else agreement)

    @property
    def may_miss(self) -> float:
        """Mean of `missed` that keeps it."""
        return _MAY_MISS if self.by == "cosine" else 1 - self.target

    def missed(self, error: float) -> float:
        """How much of the promise an answer broke, 0..1.

        Args:
            error: 1 - its cosine, or 1 - its agreement.
        """
        return float(error > 1 - self.target) if self.by == "cosine" else error

    def room(self, error: float) -> float:
        """Doublings from an error to what is allowed; negative beyond it, 0 where errors have no size."""
        if self.by == "agreement":
            return 0.0
        return math.log2((1 - self.target) / max(error, 1e-9))


class Watch(NamedTuple):
    """How a stream is watched.

    Attributes:
        audit: share of its frames that are answered in full, too.
        promise: that is held by moving the tokenizer's knob; None to leave the knob alone.
        seed: of the draws.
    """

    audit: float = 0.0
    promise: Promise | None = None
    seed: int = 0
