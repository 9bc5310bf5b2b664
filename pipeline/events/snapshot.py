"""The picture of an event: what was seen, with the boxes drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.frame import Geometry, Pixels
from pipeline.outputs.drawing import Painter
from pipeline.results import Label, Prediction, Region

_QUALITY = 80
_PLACES = ("x", "y", "w", "h")


def snapshot(
    picture: Pixels,
    geometry: Geometry,
    token_map: npt.NDArray[np.uint8] | None,
    prediction: Prediction,
) -> bytes:
    """A JPEG of a picture with what was found in it.

    Args:
        picture: (H, W, 3) uint8 RGB, upright.
        geometry: where it lies in the model's input.
        token_map: (grid rows, grid columns) of patch states; None for the picture without.
        prediction: with boxes in 0..1 of the picture.
    """
    painter = Painter(picture.shape[1], picture.shape[0], strip=False)
    panel = painter.panel(picture, geometry, token_map, prediction)
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


def _place(box: Mapping[str, Any]) -> tuple[float, float, float, float]:
    x, y, w, h = (float(box[name]) for name in _PLACES)
    return x, y, w, h
