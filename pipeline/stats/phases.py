"""Warm-up and steady state apart, and what the steady state saves against frames that ran in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.quantiles import LogHistogram
from pipeline.results import FrameResult
from pipeline.tokenizers.registry import TOKENIZERS

# How far from the operations of `full` a frame may be that is still one to measure against.
_ABOUT = 0.05


def lacked_words(result: FrameResult) -> bool:
    """Whether a frame ran in full because its tokenizer had no words yet."""
    kind = TOKENIZERS.get(result.tokenizer)
    return kind is not None and kind.wants == "words" and result.vocab_version is None


def ran_in_full(result: FrameResult) -> bool:
    """Whether a frame cost what it would in `full`, though its tokenizer is another.

    It lacked words; or its stream recalls, and all of it was computed, once. The first frame of a stream pays
    for what is cold as well: of one that recalls, which has few in full, it does not count.
    """
    if result.decision is None or result.share is None:
        return lacked_words(result)
    whole = result.tokens_kept == result.tokens_full and abs(result.share - 1) <= _ABOUT
    return whole and result.frame > 0


def cost_in_full(result: FrameResult) -> float | None:
    """What a frame costs in full, over what it cost; None where that is not known.

    Of an audited frame both answers are in what it cost, split by their operations.
    """
    if result.probed is not None:
        return result.probed
    if result.fidelity is None:
        return 1.0 if ran_in_full(result) else None
    own = 1 - result.fidelity.cost
    # A held answer cost next to nothing, and all that was paid is for the one in full.
    return own / result.share if result.share and own > 0 else result.fidelity.cost


class Phase:
    """A part of a run.

    Attributes:
        frames: results in it.
        tokens_full, tokens_kept: patch tokens, summed over them.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.tokens_full = 0
        self.tokens_kept = 0
        self._shares = 0.0
        self._with_share = 0
        # In millijoules: the histogram begins at a thousandth.
        self._joules = LogHistogram()
        self._sum = 0.0
        self._metered = 0

    def add(self, result: FrameResult) -> None:
        """Counts a result, its energy aside."""
        self.frames += 1
        if result.tokens_full is not None and result.tokens_kept is not None:
            self.tokens_full += result.tokens_full
            self.tokens_kept += result.tokens_kept
        if result.share is not None:
            self._shares += result.share
            self._with_share += 1

    def add_joules(self, joules: float) -> None:
        """Counts what a frame took."""
        self._joules.add(1000 * joules)
        self._sum += joules
        self._metered += 1

    def joules(self, q: float) -> float | None:
        """Quantile `q` (0..1) of the joules of a frame; None where none is known."""
        millijoules = self._joules.quantile(q)
        return None if millijoules is None else millijoules / 1000

    @property
    def mean_joules(self) -> float | None:
        """Of a frame; None where none is known."""
        return self._sum / self._metered if self._metered else None

    @property
    def kept_share(self) -> float | None:
        """Patch tokens kept / of the full grid; None where there are none."""
        return self.tokens_kept / self.tokens_full if self.tokens_full else None

    @property
    def share(self) -> float | None:
        """Mean share of the full model's operations; None where it is not known."""
        return self._shares / self._with_share if self._with_share else None

    def to_dict(self) -> dict[str, Any]:
        """What a JSON summary says of it."""
        return {
            "frames": self.frames,
            "kept_share": _rounded(self.kept_share),
            "share": _rounded(self.share),
            "joules_per_frame": {
                "p25": _rounded(self.joules(0.25)),
                "p50": _rounded(self.joules(0.5)),
                "p75": _rounded(self.joules(0.75)),
                "mean": _rounded(self.mean_joules),
            },
        }


@dataclass(frozen=True, slots=True)
class Saving:
    """Energy of a steady frame against one of the same stream that ran in full.

    Attributes:
        mean: 1 - mean of the steady frames / median of the full ones; negative where it costs more. None
            where it was not measured, then `reason` says why.
        median: the same for the median of the steady frames, which says little where some are held and some
            are not.
        least, most: the same for their upper and their lower quartile.
        reason: why it is None.
    """

    mean: float | None = None
    median: float | None = None
    least: float | None = None
    most: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """What a JSON summary says of it."""
        figures = {name: _rounded(getattr(self, name)) for name in ("mean", "median", "least", "most")}
        return figures if self.reason is None else {**figures, "reason": self.reason}


def saving(full: Phase, steady: Phase) -> Saving:
    """What the steady state saves, by the frames of the same stream that ran in full."""
    if not steady.frames:
        return Saving(reason="no frame ran after the warm-up")
    whole = full.joules(0.5)
    if whole is None and not full.frames:
        return Saving(reason="no frame of this run ran in full to measure against; see `vwt bench`")
    found = [steady.mean_joules, *(steady.joules(q) for q in (0.25, 0.5, 0.75))]
    if not whole or None in found:
        return Saving(reason="the energy of a frame is not known")
    mean, most, median, least = (1 - (joules or 0.0) / whole for joules in found)
    return Saving(mean, median, least, most)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
