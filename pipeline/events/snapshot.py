"""The picture of an event: what was seen, with the boxes drawn in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.events.polygon import Point
from pipeline.events.rules import AnyRule, Object, ThingRule, ZoneRule
from pipeline.frame import Geometry, Pixels
from pipeline.outputs.drawing import Outline, Painter, draw_outline
from pipeline.results import Label, Prediction, Region

_QUALITY = 80
_PLACES = ("x", "y", "w", "h")


def snapshot(
    picture: Pixels,
    geometry: Geometry,
    token_map: npt.NDArray[np.uint8] | None,
    prediction: Prediction,
    outlines: Iterable[Outline] = (),
) -> bytes:
    """A JPEG of a picture with what was found in it.

    Args:
        picture: (H, W, 3) uint8 RGB, upright.
        geometry: where it lies in the model's input.
        token_map: (grid rows, grid columns) of patch states; None for the picture without.
        prediction: with boxes in 0..1 of the picture.
        outlines: of parts of it that are drawn as well.
    """
    painter = Painter(picture.shape[1], picture.shape[0], strip=False)
    panel = painter.panel(picture, geometry, token_map, prediction)
    for outline in outlines:
        draw_outline(panel, outline)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    return bytes(cv2.imencode(".jpg", cv2.cvtColor(panel, cv2.COLOR_RGB2BGR), quality)[1])


def drawn(result: Mapping[str, Any]) -> Prediction:
    """What is drawn of a result: its prediction, and what changed beside it.

    Args:
        result: as `FrameResult.to_dict` has it.
    """
    found = result.get("prediction") or {}
    boxes = [*found.get("boxes", ()), *(result.get("changed") or ())]
    return Prediction(
        str(found.get("kind", "none")),
        labels=[Label(one["label"], one["score"]) for one in found.get("labels", ())],
        regions=[Region(*_place(one), one["score"]) for one in found.get("regions", ())],
        boxes=[Box(*_place(one), str(one.get("name", "?")), one.get("score", 1.0)) for one in boxes],
    )


def outlines(
    events: Iterable[Object], rules: Iterable[AnyRule], zones: Mapping[str, Sequence[Point]], result: Object
) -> list[Outline]:
    """The parts of the picture that events are about: zones with their states, and where things stand.

    Args:
        events: that begin with a result.
        rules: of the stream.
        zones: polygons by name.
        result: that one.
    """
    begun = {event["rule"] for event in events}
    about = [rule for rule in rules if rule.name in begun]
    states = result.get("zones") or {}
    named = {rule.zone for rule in about if isinstance(rule, ZoneRule)}
    found = [
        Outline(polygon, f"{name}: {states[name]['state']}" if name in states else name)
        for name, polygon in zones.items()
        if name in named
    ]
    within = [rule.within for rule in about if isinstance(rule, ThingRule) and rule.within is not None]
    return found + [Outline(polygon) for polygon in within]


def _place(box: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x, y, w, h = (float(box[name]) for name in _PLACES)
    return x, y, w, h
