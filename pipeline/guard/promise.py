"""What a stream is promised, and what an audited answer says of it. Free of torch."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

from pipeline.errors import UsageError
from pipeline.tokenizers.registry import Kind

By = Literal["cosine", "agreement"]
PROMISED_BY: tuple[By, ...] = get_args(By)
# Targets that make sense: from the first up to the second, which only `full` keeps.
LOWEST, HIGHEST = 0.5, 1.0

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

    def lowered(self, least: float, given: float) -> Promise:
        """One that allows more.

        Args:
            least: target of the lowest.
            given: how much of the way there, 0..1, by the logarithm of what is allowed.
        """
        allowed = (1 - self.target) ** (1 - given) * (1 - least) ** given
        return self._replace(target=self.target if not given else round(1 - allowed, 5))

    def check(self, kind: Kind | None) -> Promise:
        """Itself.

        Args:
            kind: the tokenizer that is to keep it; None where that is not known yet.

        Raises:
            UsageError: the target cannot be right, or the tokenizer cannot be held to it.
        """
        if not LOWEST <= self.target < HIGHEST:
            raise UsageError(
                f"--guard {self.target} is out of range: give a fidelity from {LOWEST:g} to {HIGHEST:g}, "
                f"{HIGHEST:g} excluded"
            )
        if kind is not None and kind.holds is not None and self.by != "cosine":
            raise UsageError(
                f"tokenizer {kind.name} holds a cosine by itself, no {self.by}; leave --guard-by out, or "
                "choose another --tokenizer"
            )
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
        least: what the target may be lowered to where there is not enough for all; None to keep it.
    """

    audit: float = 0.0
    promise: Promise | None = None
    seed: int = 0
    least: float | None = None

    def check(self) -> Watch:
        """Itself.

        Raises:
            UsageError: a promise without audits.
        """
        if self.promise is not None and not self.audit:
            raise UsageError("--guard acts on audits, and --audit 0 has none; give a share of frames above 0")
        return self

    def check_least(self, held: float | None) -> Watch:
        """Itself.

        Args:
            held: what the tokenizer holds by itself; None for nothing.

        Raises:
            UsageError: there is no target that could be lowered so far.
        """
        own = held if self.promise is None else self.promise.target
        if self.least is not None and own is None:
            raise UsageError("min_target lowers a target, and there is none; give one with --guard")
        if self.least is not None and own is not None and self.least > own:
            raise UsageError(
                f"min_target {self.least:g} is above the target {own:g} that it may be lowered from"
            )
        return self
