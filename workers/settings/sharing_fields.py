"""Fields that say what a stream gets where there is not enough for all."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from pipeline.guard.promise import HIGHEST, LOWEST


class SharingFields(BaseModel):
    """See `workers.inference.sharing`.

    Attributes:
        priority: its weight among the others.
        min_target: what its target may be lowered to; None to keep it.
    """

    priority: Annotated[float, Field(ge=0.01, le=100)] = Field(
        default=1.0,
        description="Weight among other streams where there is not enough for all: one of 2 gets twice the "
        "operations of one of 1, and its fidelity gives way later.",
    )
    min_target: Annotated[float, Field(ge=LOWEST, lt=HIGHEST)] | None = Field(
        default=None,
        description="Fidelity that its target (`guard`, or that of `recall`) may be lowered to before frames "
        "are lost; it is raised again when there is room. Null to lose frames rather.",
    )
