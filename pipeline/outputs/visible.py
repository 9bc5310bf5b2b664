"""What the model saw of a picture, cut out of its input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import cv2
import numpy as np

from pipeline.boxes import Box
from pipeline.frame import Geometry, Pixels
from pipeline.results import Prediction, Region

_Bounded = TypeVar("_Bounded", Region, Box)


def visible_part(
    image: Pixels, geometry: Geometry, prediction: Prediction, changed: Sequence[Box] | None = None
) -> tuple[Pixels, Geometry, Prediction, list[Box] | None]:
    """Cuts what the source shows out of a model input, in the source's aspect.

    Args:
        image: (H, W, 3) uint8, the model's input.
        geometry: where the source picture lies in it.
        prediction: of the frame.
        changed: boxes of what changed.

    Returns:
        The part of the source picture that the model sees, where that part lies in the input, and the
        prediction and what changed with regions and boxes in 0..1 of that part.
    """
    left, top, right, bottom = geometry.content_box()
    first_x, first_y = round(left), round(top)
    last_x, last_y = max(round(right), first_x + 1), max(round(bottom), first_y + 1)
    part = image[first_y:last_y, first_x:last_x]
    height, width = part.shape[:2]
    # The input may be squashed: the side that was reduced more gets its length back.
    stretch = geometry.scale_y / geometry.scale_x
    shown_width = max(round(width * max(stretch, 1.0)), 1)
    shown_height = max(round(height / min(stretch, 1.0)), 1)
    picture: Pixels = np.ascontiguousarray(part)
    if (shown_width, shown_height) != (width, height):
        picture = cv2.resize(picture, (shown_width, shown_height), interpolation=cv2.INTER_LINEAR)
    shown = Geometry(
        source_width=shown_width,
        source_height=shown_height,
        input_width=geometry.input_width,
        input_height=geometry.input_height,
        scale_x=width / shown_width,
        scale_y=height / shown_height,
        offset_x=first_x,
        offset_y=first_y,
    )
    regions = [_moved(region, geometry, shown) for region in prediction.regions]
    boxes = [_moved(box, geometry, shown) for box in prediction.boxes]
    moved = None if changed is None else [_moved(box, geometry, shown) for box in changed]
    return picture, shown, replace(prediction, regions=regions, boxes=boxes), moved


def moved_points(
    points: Sequence[tuple[float, float]], source: Geometry, shown: Geometry
) -> list[tuple[float, float]]:
    """Points in 0..1 of the source picture as points of the part that is shown, see `visible_part`."""
    return [_across(x, y, source, shown) for x, y in points]


def _moved(one: _Bounded, source: Geometry, shown: Geometry) -> _Bounded:
    """A region or box of the source picture as one of the part that is shown."""
    left, top = _across(one.x, one.y, source, shown)
    right, bottom = _across(one.x + one.w, one.y + one.h, source, shown)
    return replace(one, x=left, y=top, w=right - left, h=bottom - top)


def _across(x: float, y: float, source: Geometry, shown: Geometry) -> tuple[float, float]:
    at_x = x * source.source_width * source.scale_x + source.offset_x
    at_y = y * source.source_height * source.scale_y + source.offset_y
    return shown.to_source(at_x, at_y)
