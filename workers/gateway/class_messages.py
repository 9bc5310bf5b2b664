"""What the API takes and shows of names that are learned from drawn boxes."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pipeline.errors import UsageError
from pipeline.scene.classes import NOT_THIS, Classes, Named
from pipeline.scene.drawn_boxes import ENOUGH, FEWEST, check_drawn, check_place
from workers.contract.class_store import DrawnBox, DrawnName

Sides = tuple[float, float, float, float]


class Boxed(BaseModel):
    """A box that somebody drew."""

    model_config = ConfigDict(extra="forbid")

    # It is a part of a path.
    name: Annotated[
        str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True, pattern="^[^/]*$")
    ] = Field(description=f'What is in it, such as "person"; "{NOT_THIS}" for what has none of the names.')
    box: Sides = Field(description="Left x, top y, width and height, in 0..1 of the picture's.")
    frame: int | None = Field(
        default=None,
        ge=0,
        description="Number of the frame it was drawn in, as `/v1/previews` has it, which is shown now or "
        "held; the stream's next one without.",
    )

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        try:
            return check_drawn(name)
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("box")
    @classmethod
    def _check_box(cls, box: Sides) -> Sides:
        try:
            check_place(box, "the box")
        except UsageError as error:
            raise ValueError(str(error)) from None
        return box


class BoxView(BaseModel):
    """A box that was drawn."""

    id: str
    box: Sides
    frame: int = Field(description="Number of the frame it was drawn in.")
    told_as: str | None = Field(
        description="What the other boxes say that it is; null where there are too few, and for what is none "
        "of the names."
    )
    jpeg: Base64Bytes = Field(description="A small picture of what the model sees of it.")


class ClassView(BaseModel):
    """A name as the API shows it."""

    name: str
    count: int = Field(description="How many boxes it was learned from.")
    boxes: list[BoxView] = Field(description="In the order they were drawn; none of a name from a file.")
    learned: bool = Field(description="Whether results have it, or what is none of the names is kept out.")
    needs: str | None = Field(description="What is missing until it is told well; null for nothing.")
    leave_one_out: float | None = Field(
        description="Share of its boxes that the others tell right, 0..1; of few boxes it says little. Null "
        "while there are too few, and for what is none of the names."
    )
    said_from: float | None = Field(description="Cosine from which on it is said; null as above.")
    from_file: bool = Field(description="It was learned elsewhere and given as `classes`.")


class ClassList(BaseModel):
    """All names of a stream, and last what is none of them."""

    classes: list[ClassView]


def views(
    drawn: Mapping[str, DrawnName], made: Classes | None, told: Mapping[str, str], file: Classes | None
) -> ClassList:
    """Of all names.

    Args:
        drawn: what was drawn.
        made: what follows from that.
        told: by id of a box, what the others say of it.
        file: what was learned elsewhere; None for nothing.
    """
    names = {} if made is None else made.names
    found = [_drawn(name, one, names.get(name), told) for name, one in drawn.items()]
    if file is not None:
        waits = "the names from a file are in use; remove those first"
        found = [view.model_copy(update={"learned": False, "needs": waits}) for view in found]
        found += [_of_file(name, one) for name, one in file.names.items()]
        if len(file.others):
            found.append(_of_file(NOT_THIS, None, len(file.others)))
    return ClassList(classes=sorted(found, key=lambda view: (view.name == NOT_THIS, view.name)))


def _drawn(name: str, drawn: DrawnName, made: Named | None, told: Mapping[str, str]) -> ClassView:
    count, none = len(drawn.boxes), name == NOT_THIS
    return ClassView(
        name=name,
        count=count,
        boxes=[_box(one, told.get(one.id)) for one in drawn.boxes],
        learned=made is not None or (none and bool(told)),
        needs=None if none else _needs(count),
        leave_one_out=None if made is None else round(made.right, 4),
        said_from=None if made is None else round(made.least, 4),
        from_file=False,
    )


def _needs(count: int) -> str | None:
    if count < FEWEST:
        return f"{FEWEST - count} more until it is said, {ENOUGH - count} until it is told well"
    return None if count >= ENOUGH else f"{ENOUGH - count} more of different things until it is told well"


def _box(one: DrawnBox, told_as: str | None) -> BoxView:
    at = one.box
    return BoxView(
        id=one.id, box=(at.x, at.y, at.w, at.h), frame=one.frame, told_as=told_as, jpeg=b64encode(one.jpeg)
    )


def _of_file(name: str, one: Named | None, count: int = 0) -> ClassView:
    return ClassView(
        name=name,
        count=count if one is None else one.examples,
        boxes=[],
        learned=True,
        needs=None if one is None else _needs(one.examples),
        leave_one_out=None if one is None else one.right,
        said_from=None if one is None else one.least,
        from_file=True,
    )
