"""What a zone or a drawn box looks like in a frame: it is run once more in full."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TypeVar

import cv2

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.frame import Frame, Pixels
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.reading import FrameOutput
from pipeline.scene.learning import examples_of
from pipeline.scene.polygon import Polygon
from pipeline.scene.prototypes import look_inside, whole
from pipeline.scene.scene import Scene, seen_as
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds
from workers.contract.messages import BoxExample, Example
from workers.inference.moments import Shown
from workers.inference.preview import encode
from workers.inference.queue import Request

# The longer side of a box's picture.
_PICTURE_SIDE = 96

T = TypeVar("T")
# What comes of a frame and its output, for a model with patches of that size; raises UsageError.
_Look = Callable[[Shown, Frame, FrameOutput, int], T]


def zone_request(shown: Shown, polygon: Polygon, key: str) -> Request:
    """What runs a frame in full, as `vwt zones learn` does, for an `Example`.

    Args:
        shown: the frame.
        polygon: of the zone.
        key: whose turn it takes, as one of the single images.

    Raises:
        UsageError: the model has no patches.
    """
    return _request(shown, key, partial(_zone, polygon), values=False, who="zones")


def box_request(shown: Shown, box: Box, key: str) -> Request:
    """What runs a frame in full, as `vwt classes learn` does, for a `BoxExample`.

    Args:
        shown, key: see `zone_request`.
        box: that was drawn, with its name.

    Raises:
        UsageError: the model has no patches.
    """
    return _request(shown, key, partial(_box, box), values=True, who="names")


def _zone(polygon: Polygon, shown: Shown, frame: Frame, output: FrameOutput, patch_size: int) -> Example:
    assert output.patches is not None
    (vector,) = examples_of(polygon, [frame], [output.patches], patch_size)
    return Example(*_of(shown), vector)


def _box(box: Box, shown: Shown, frame: Frame, output: FrameOutput, patch_size: int) -> BoxExample:
    assert output.values is not None
    vector = look_inside(output.values, box, frame.geometry, patch_size)
    return BoxExample(*_of(shown), vector, whole(output.values), encode(_cut(frame, box)))


def _of(shown: Shown) -> tuple[str, str, int]:
    model, settings = shown.engine.model, shown.settings
    return model.name, seen_as(model.inputs.spec(model.name, settings.fit, settings.size)), shown.number


def _cut(frame: Frame, box: Box) -> Pixels:
    """A small picture of what the model sees of a box."""
    at = frame.geometry
    rows, columns = frame.image.shape[:2]
    left, right = (round(x * at.source_width * at.scale_x + at.offset_x) for x in (box.x, box.x + box.w))
    top, bottom = (round(y * at.source_height * at.scale_y + at.offset_y) for y in (box.y, box.y + box.h))
    left, top = min(max(left, 0), columns - 1), min(max(top, 0), rows - 1)
    part = frame.image[top : max(bottom, top + 1), left : max(right, left + 1)]
    height, width = part.shape[:2]
    scale = min(1.0, _PICTURE_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    reduced: Pixels = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return reduced


def _request(shown: Shown, key: str, look: _Look[T], values: bool, who: str) -> Request:
    model, full = shown.engine.model, kind_of("full")
    if model.patch_size is None:
        raise UsageError(f"model '{model.name}' has no patches to compare; {who} want a Vision Transformer")
    # A scene without anything to tell: it has the frame's patches asked for.
    scene = Scene(model.patch_size, changed=False, zones=None, values=values)
    keys: list[Hashable] = [(key, 0)]
    return Request(
        stream=key,
        engine=shown.engine,
        frames=[shown.frame],
        keys=keys,
        guarded=Guarded(full, {}, full.open({}, StreamNeeds(None)), Watch(), scene),
        settings=shown.settings,
        deliver=partial(_answer, shown, look, model.patch_size),
    )


def _answer(shown: Shown, look: _Look[T], patch_size: int, request: Request) -> None:
    (ran,) = request.ran
    try:
        found = look(shown, ran.frames[0], ran.outputs[0], patch_size)
    except UsageError as error:
        request.fail(error)
        return
    request.future.set_result(found)
