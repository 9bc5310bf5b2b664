"""Looks at the patches of a stream's frames: what changed, what that is, and the states of its zones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.results import ZoneState
from pipeline.scene.background import Background
from pipeline.scene.changed import changed_boxes, distances
from pipeline.scene.classes import Classes
from pipeline.scene.zones import Zones

if TYPE_CHECKING:
    from pipeline.frame import Frame
    from pipeline.input_spec import InputSpec
    from pipeline.models import Model
    from pipeline.reading import PatchFeatures


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen in a frame.

    Attributes:
        changed: boxes; None where nobody asked, or it is not known yet what is usual.
        zones: by name; None where nobody asked.
    """

    changed: Sequence[Box] | None = None
    zones: Mapping[str, ZoneState] | None = None


NOTHING_SEEN = Seen()


class Scene:
    """Of one stream. One call at a time, frames in order.

    Args:
        patch_size: of the model's patches, in pixels of its input.
        changed: whether what changed is asked for.
        zones: that are asked for.
        classes: what boxes of what changed are named by, which then is asked for, too.
        values: whether what attention took from patches is asked for beside.
    """

    def __init__(
        self,
        patch_size: int,
        changed: bool,
        zones: Zones | None,
        classes: Classes | None = None,
        values: bool = False,
    ) -> None:
        self._patch_size = patch_size
        self._background = Background() if changed or classes is not None else None
        self._zones = zones
        self._classes = classes
        self._values = values or classes is not None

    @classmethod
    def of(
        cls,
        model: Model,
        changed: bool,
        zones: Zones | None,
        classes: Classes | None = None,
        spec: InputSpec | None = None,
        remembered: bool = False,
    ) -> Scene | None:
        """What is asked for; None for nothing.

        Args:
            model: that runs the frames.
            changed, zones, classes: see `Scene`.
            spec: the input that the frames are; None for the model's own.
            remembered: whether what changed goes into a history.

        Raises:
            UsageError: the model has no patches, or the zones or classes are another's.
        """
        if not changed and zones is None and classes is None:
            return None
        if model.patch_size is None:
            raise UsageError(
                f"model '{model.name}' has no patches to compare; changed, zones and classes want a Vision "
                "Transformer"
            )
        for learned in (zones, classes):
            if learned is not None:
                learned.check_model(model.name, seen_as(spec or model.input))
        return cls(
            model.patch_size, changed, zones, classes, values=remembered and (changed or classes is not None)
        )

    def follow(self, before: Scene | None) -> None:
        """Takes over what is usual from the one before it, of the same stream with other zones or names."""
        if before is not None and self._background is not None and before._background is not None:
            self._background = before._background

    @property
    def wants_values(self) -> bool:
        """Whether it looks at what attention took from patches, too."""
        return self._values

    def look(self, frame: Frame, patches: PatchFeatures | None, values: PatchFeatures | None = None) -> Seen:
        """What is seen in the next frame.

        Args:
            frame: as it ran.
            patches, values: its features, see `FrameOutput`; None where they are not known.
        """
        if patches is None:
            return NOTHING_SEEN
        geometry, size = frame.geometry, self._patch_size
        zones = None
        if self._zones is not None:
            zones = {name: zone.state(patches, geometry, size) for name, zone in self._zones.zones.items()}
        return Seen(None if self._background is None else self._changed(frame, patches, values), zones)

    def _changed(
        self, frame: Frame, patches: PatchFeatures, values: PatchFeatures | None
    ) -> Sequence[Box] | None:
        assert self._background is not None
        at_s = frame.times.pts_s
        self._background.see(patches, frame.ready_at if at_s is None else at_s)
        usual = self._background.usual
        if usual is None:
            return None
        boxes = changed_boxes(distances(patches, usual), frame.geometry, self._patch_size)
        if self._classes is None:
            return boxes
        return self._classes.named(boxes, values, frame.geometry, self._patch_size)


def seen_as(spec: InputSpec) -> str:
    """How a model sees pictures, in words: features of one size are not those of another."""
    return f"{spec.width}x{spec.height} {spec.crop_mode}"
