"""What is known of a stream's answers, for statuses, results and people. Free of torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.guard.bounds import Interval
from pipeline.tokenizers.registry import flag


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFidelity:
    """What the audits of a stream found. Statistical: over its frames, never a promise for one of them.

    Attributes:
        audits: how many frames were audited, since the settings began.
        target: by which an answer counts as missed: cosine to the answer of `full`.
        missed, missed_hour: share of answers beyond the target since the settings began, and of the last
            hour.
        error, error_hour: their mean cosine distance.
        agreement: mean agreement of what was predicted; without values where there is only a vector.
        share: operations of the audits over those of all frames; None before the first.
    """

    audits: int
    target: float
    missed: Interval
    missed_hour: Interval
    error: Interval
    error_hour: Interval
    agreement: Interval
    share: float | None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "audits": self.audits,
            "target": self.target,
            "missed": self.missed.to_dict(),
            "missed_hour": self.missed_hour.to_dict(),
            "error": self.error.to_dict(),
            "error_hour": self.error_hour.to_dict(),
            "agreement": self.agreement.to_dict(),
            "cost": None if self.share is None else round(self.share, 4),
        }

    def text(self) -> str:
        """In a line for people."""
        if not self.audits or self.error.mean is None or self.missed.mean is None:
            return "none yet"
        says = [f"{self.audits} frames answered in full, too: cosine {1 - self.error.mean:.4f}"]
        low, high = 100 * self.missed.low, 100 * self.missed.high
        says.append(
            f"{100 * self.missed.mean:.0f} % below {self.target:g} (of all frames {low:.0f} to {high:.0f} %)"
        )
        if self.agreement.mean is not None:
            says.append(f"agreement {self.agreement.mean:.2f}")
        if self.share is not None:
            says.append(f"for {100 * self.share:.1f} % of the operations")
        return ", ".join(says)


@dataclass(frozen=True, slots=True)
class GuardStatus:
    """What the guard of a stream does.

    Attributes:
        target, by: what is promised, see `pipeline.guard.promise.Promise`.
        state: "holding"; "tightened" where a tokenizer that holds a target by itself did not, and is held to
            a stricter one; or "unable" where the promise cannot be held but in full.
        option, value: what it moves, and where that stands.
        looks, missed: answers that it acted on since the settings began, and those of them that broke the
            promise. There are more where it is broken, so this is no estimate, see `StreamFidelity.missed`.
    """

    target: float
    by: str
    state: str
    option: str
    value: float
    looks: int = 0
    missed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    def text(self) -> str:
        """In a line for people."""
        if self.state == "unable":
            return f"cannot hold {self.target:g}, running in full"
        if self.state == "tightened":
            return (
                f"holding {self.target:g} ({self.by}), tightened to --{flag(self.option)} {self.value:.4g}: "
                f"{self.missed} of {self.looks} answers looked at missed"
            )
        return f"holding {self.target:g} ({self.by}) at --{flag(self.option)} {self.value:.4g}"
