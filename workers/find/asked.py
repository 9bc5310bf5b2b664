"""What is looked for. Free of heavy imports."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pipeline.errors import UsageError


@dataclass(frozen=True, slots=True)
class Asked:
    """What `vwt find` was asked for; see `vwt find --help` for each.

    Attributes:
        like: a picture; with `box` only that part of it counts.
        text: what a frame may show, instead of a picture.
        labels: a file that holds the vector of that text; None to ask the text tower.
        text_model, text_weights: of the tower, where the model's own is not meant.
        weights: of the image model, where they lie elsewhere now.
    """

    like: Path | None = None
    box: str | None = None
    text: str | None = None
    labels: Path | None = None
    text_model: str | None = None
    text_weights: str | None = None
    weights: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises UsageError where the parts do not go together."""
        if (self.like is None) == (self.text is None):
            raise UsageError("say what to look for: --like PICTURE or --text TEXT, one of them")
        if self.box is not None and self.like is None:
            raise UsageError("--box is the part of a picture that counts: give the picture with --like")
        if (self.text_model is None) != (self.text_weights is None):
            raise UsageError("--text-model and --text-weights belong together; give both or neither")
        if self.text is None and not (self.labels is None and self.text_model is None):
            raise UsageError("--labels, --text-model and --text-weights are for --text; give a text as well")
        if self.labels is not None and self.text_model is not None:
            raise UsageError("--labels holds vectors already: leave out --text-model and --text-weights")


def point_in_time(text: str | None) -> float | None:
    """Seconds, as `Moment.time_s` has them, of a number or of a date and time.

    Args:
        text: seconds, or as ISO 8601 has it ("2026-11-26T14:30"), of this machine's zone where it names none.

    Raises:
        UsageError: it is neither.
    """
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            return datetime.fromisoformat(text).timestamp()
        except (ValueError, OverflowError, OSError):
            raise UsageError(
                f"'{text}' is no time: give seconds of a file, or of a live source "
                "a date and time such as 2026-11-26T14:30"
            ) from None
    if not math.isfinite(seconds):
        raise UsageError(f"'{text}' is no time: give a number of seconds")
    return seconds
