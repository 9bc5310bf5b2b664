"""Fields that say how pictures become a model's input."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints

from pipeline.errors import UsageError
from pipeline.fit import SIZE_PATTERN, Fit, parse_size


def _as_text(value: Any) -> Any:
    # A side may come as the number that it is.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _check_size(size: str) -> str:
    try:
        parse_size(size)
    except UsageError as error:
        raise ValueError(str(error).removeprefix("--")) from None
    return size


SizeText = Annotated[
    str, BeforeValidator(_as_text), StringConstraints(pattern=SIZE_PATTERN), AfterValidator(_check_size)
]


class InputFields(BaseModel):
    """How pictures become a model's input.

    Attributes:
        fit: one of `pipeline.fit.FITS`; None as suits the model.
        size: a side in pixels or "WIDTHxHEIGHT", as text; None as suits the model.
    """

    fit: Fit | None = Field(
        default=None,
        description="How pictures are fitted into the size: native (keeps the aspect, pads nothing), "
        "letterbox (pads, but runs no padding), crop (the middle), stretch. Null as suits the model.",
    )
    size: SizeText | None = Field(
        default=None,
        description="Pixels that pictures are fitted into: a side of a square, as 448, or WIDTHxHEIGHT, in "
        "whole patches of the model. Null as suits the model.",
    )
