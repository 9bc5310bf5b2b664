"""Looks at the patches of a stream's frames: what changed, and in which state its zones are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.results import ZoneState
from pipeline.scene.background import Background
from pipeline.scene.changed import changed_boxes, distances
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
    """

    def __init__(self, patch_size: int, changed: bool, zones: Zones | None) -> None:
        self._patch_size = patch_size
        self._background = Background() if changed else None
        self._zones = zones

    @classmethod
    def of(
        cls, model: Model, changed: bool, zones: Zones | None, spec: InputSpec | None = None
    ) -> Scene | None:
        """What is asked for; None for nothing.

        Args:
            model: that runs the frames.
            changed, zones: see `Scene`.
            spec: the input that the frames are; None for the model's own.

        Raises:
            UsageError: the model has no patches, or the zones are another's.
        """
        if not changed and zones is None:
            return None
        if model.patch_size is None:
            raise UsageError(
                f"model '{model.name}' has no patches to compare; changed and zones want a Vision Transformer"
            )
        if zones is not None:
            zones.check_model(model.name, seen_as(spec or model.input))
        return cls(model.patch_size, changed, zones)

    def follow(self, before: Scene | None) -> None:
        """Takes over what is usual from the one before it, of the same stream with other zones."""
        if before is not None and self._background is not None and before._background is not None:
            self._background = before._background

    def look(self, frame: Frame, patches: PatchFeatures | None) -> Seen:
        """What is seen in the next frame.

        Args:
            frame: as it ran.
            patches: its features, see `FrameOutput`; None where they are not known.
        """
        if patches is None:
            return NOTHING_SEEN
        geometry, size = frame.geometry, self._patch_size
        zones = None
        if self._zones is not None:
            zones = {name: zone.state(patches, geometry, size) for name, zone in self._zones.zones.items()}
        return Seen(None if self._background is None else self._changed(frame, patches), zones)

    def _changed(self, frame: Frame, patches: PatchFeatures) -> Sequence[Box] | None:
        assert self._background is not None
        at_s = frame.times.pts_s
        self._background.see(patches, frame.ready_at if at_s is None else at_s)
        usual = self._background.usual
        if usual is None:
            return None
        return changed_boxes(distances(patches, usual), frame.geometry, self._patch_size)


def seen_as(spec: InputSpec) -> str:
    """How a model sees pictures, in words: features of one size are not those of another."""
    return f"{spec.width}x{spec.height} {spec.crop_mode}"
