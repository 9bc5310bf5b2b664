"""Fields that say how answers are watched and what is promised of them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.defaults import DEFAULT_AUDIT
from pipeline.guard.promise import HIGHEST, LOWEST, By


class WatchFields(BaseModel):
    """How a stream is watched, see `pipeline.guard.promise.Watch`.

    Attributes:
        audit: share of its frames.
        guard, guard_by: its promise; None for none.
    """

    audit: Annotated[float, Field(ge=0, le=1)] = Field(
        default=DEFAULT_AUDIT,
        description="Share of frames, drawn at random, that are answered in full, too, to see what the "
        "answers are worth.",
    )
    guard: Annotated[float, Field(ge=LOWEST, lt=HIGHEST)] | None = Field(
        default=None,
        description="Fidelity that is held at the least compute: the tokenizer's option is moved by what "
        "audits find, and frames run in full where it cannot be held. Null to leave the option alone. For "
        "`recall` the same as its target.",
    )
    guard_by: By = Field(
        default="cosine",
        description="What `guard` is about: the 5th percentile of the cosine to the full model's answers, or "
        "the mean agreement with its labels, regions or boxes.",
    )
