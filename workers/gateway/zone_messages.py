"""What the API takes and shows of drawn zones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from pipeline.errors import UsageError
from pipeline.scene.means import FEWEST
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, check_name
from workers.contract.zone_store import DrawnZone

Name = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True)]


class Drawn(BaseModel):
    """A zone as it is drawn."""

    model_config = ConfigDict(extra="forbid")

    polygon: list[tuple[float, float]] = Field(
        description="Corners x, y in their order, in 0..1 of the picture's width and height."
    )
    states: Annotated[list[Name], Field(max_length=8)] = Field(
        description='Names of two or more states, such as "open" and "closed".'
    )

    @field_validator("polygon")
    @classmethod
    def _check_polygon(cls, polygon: list[tuple[float, float]]) -> list[tuple[float, float]]:
        _checked(lambda: Polygon.of(polygon))
        return polygon

    @field_validator("states")
    @classmethod
    def _check_states(cls, states: list[str]) -> list[str]:
        if len(set(states)) < len(states):
            raise ValueError("two states have one name; give each its own")
        _checked(lambda: [check_name(state, "state") for state in states])
        if len(states) < 2:
            raise ValueError("give two states at least, such as open and closed")
        return states


class Renamed(BaseModel):
    """What a zone is to be called."""

    model_config = ConfigDict(extra="forbid")

    # It is a part of a path.
    name: Annotated[Name, StringConstraints(pattern="^[^/]*$")]

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        _checked(lambda: check_name(name, "zone"))
        return name


class Said(BaseModel):
    """What is so just now."""

    model_config = ConfigDict(extra="forbid")

    state: Name = Field(description="One of the zone's states.")
    frame: int | None = Field(
        default=None,
        ge=0,
        description="Number of the frame in which it is so, as `/v1/previews` has it; the stream's next one "
        "without, or where that was shown more than some seconds ago.",
    )


class StateView(BaseModel):
    """A state of a zone."""

    name: str
    examples: int = Field(description="How many moments of it there are.")


class DrawnView(BaseModel):
    """A zone as the API shows it."""

    name: str
    polygon: list[tuple[float, float]]
    states: list[StateView]
    learned: bool = Field(description="Whether results have its state.")
    needs: str | None = Field(description="What is missing until they have; null for nothing.")
    leave_one_out: float | None = Field(
        description="How many of the moments are told right by the others, all states counting alike, 0..1; "
        "null while there are too few."
    )
    unknown_from: float | None = Field(description="Distance from which on it is in none of its states.")
    from_file: bool = Field(
        description="It was learned elsewhere and given as `zones`, so that no moments can be added."
    )


class ZoneList(BaseModel):
    """All zones of a stream, by name."""

    zones: list[DrawnView]


def view_of(name: str, drawn: DrawnZone) -> DrawnView:
    """Of a zone that was drawn here."""
    known = drawn.learned(name)
    missing = {state: FEWEST - drawn.count(state) for state in drawn.states}
    needs = ", ".join(f"{count} more of {state}" for state, count in missing.items() if count > 0)
    return DrawnView(
        name=name,
        polygon=list(drawn.polygon.points),
        states=[StateView(name=state, examples=drawn.count(state)) for state in drawn.states],
        learned=known is not None,
        needs=needs or None,
        leave_one_out=None if known is None else round(known.accuracy, 4),
        unknown_from=None if known is None else known.unknown_from,
        from_file=False,
    )


def view_of_file(name: str, zone: Zone) -> DrawnView:
    """Of a zone that was learned elsewhere."""
    return DrawnView(
        name=name,
        polygon=list(zone.polygon.points),
        states=[StateView(name=state, examples=count) for state, count in zone.examples.items()],
        learned=True,
        needs=None,
        leave_one_out=zone.accuracy,
        unknown_from=zone.unknown_from,
        from_file=True,
    )


def _checked(check: Callable[[], object]) -> None:
    try:
        check()
    except UsageError as error:
        raise ValueError(str(error)) from None
