"""Fields that say what is to be found in the picture of a fixed camera, beside what the model predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, Field, field_validator

from pipeline.errors import UsageError


class Drawn(Protocol):
    """What has these fields: the settings of a stream, and those that come with its frames."""

    @property
    def zones(self) -> Mapping[str, Any] | None: ...

    @property
    def classes(self) -> Mapping[str, Any] | None: ...


class SceneFields(BaseModel):
    """See `pipeline.scene.scene.Scene`.

    Attributes:
        changed: whether results have boxes of what changed.
        zones, classes: as `to_dict` of `Zones` and `Classes` in `pipeline.scene` has them.
    """

    changed: bool = Field(
        default=False,
        description="Fixed cameras: add boxes of what is not as it usually is at its place (`changed` in "
        "results).",
    )
    zones: dict[str, Any] | None = Field(
        default=None,
        description="Fixed cameras: zones whose states are told (`zones` in results), the JSON object that "
        "`vwt zones learn` writes. Null for none.",
    )

    classes: dict[str, Any] | None = Field(
        default=None,
        description="Fixed cameras: names for boxes of what changed, which `changed` in results then has, "
        "the JSON object that `vwt classes learn` writes, or that follows from boxes drawn on the page. Null "
        "for none.",
    )

    @field_validator("zones")
    @classmethod
    def _check_zones(cls, zones: dict[str, Any] | None) -> dict[str, Any] | None:
        # Imports numpy and OpenCV, which settings are read without.
        from pipeline.scene.zones import Zones

        if zones is None:
            return None
        try:
            # What is kept is what was read, so that nothing else can be in it.
            return Zones.from_dict(zones).to_dict()
        except UsageError as error:
            raise ValueError(str(error)) from None

    @field_validator("classes")
    @classmethod
    def _check_classes(cls, classes: dict[str, Any] | None) -> dict[str, Any] | None:
        from pipeline.scene.classes import Classes

        if classes is None:
            return None
        try:
            return Classes.from_dict(classes).to_dict()
        except UsageError as error:
            raise ValueError(str(error)) from None


def drawn_of(given: Drawn) -> dict[str, Any]:
    """What people draw while watching, and so changes without the stream being opened anew, by field."""
    return {"zones": given.zones, "classes": given.classes}
