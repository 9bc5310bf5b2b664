"""What somebody who watches a stream sees: now and then the model's picture, with what came of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.frame import Frame, Geometry, Pixels
from pipeline.outputs.drawing import Painter
from pipeline.results import FrameResult, Region
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import raise_first, redis_errors
from workers.contract.keys import StreamKeys

_LOOK_EVERY_S = 1.0
_PAINT_EVERY_S = 0.5
_EXPIRES_S = 30
_QUALITY = 80

_Bounded = TypeVar("_Bounded", Region, Box)


class Preview:
    """Paints one stream while somebody watches. One call at a time.

    Args:
        client: of Redis.
        stream: id of the stream.
    """

    def __init__(self, client: RedisClient, stream: str) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._keys = StreamKeys(stream)
        self._watched = False
        self._look_at = self._paint_at = 0.0
        self._painter: tuple[tuple[int, int], Painter] | None = None

    def show(self, frame: Frame, states: npt.NDArray[np.uint8] | None, result: FrameResult) -> None:
        """Paints a frame if it is time to and somebody watches.

        Args:
            frame: as it ran.
            states: what became of its patches.
            result: of the frame.

        Raises:
            StoreUnavailable: Redis cannot take it now.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            with redis_errors("see who watches", self._where):
                self._watched = bool(self._client.exists(self._keys.watched))
        if not self._watched or now < self._paint_at:
            return
        self._paint_at = now + _PAINT_EVERY_S
        picture, geometry, result = visible_part(frame.image, frame.geometry, result)
        painter = self._painter_for(picture)
        plain = encode(painter.paint(picture, geometry, None, result))
        jpeg = plain if states is None else encode(painter.paint(picture, geometry, states, result))
        fields = {"jpeg": jpeg, "plain": plain, "frame": result.frame, "at": time.time()}
        with redis_errors("write the preview", self._where):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(self._keys.preview, mapping=fields)
            pipeline.expire(self._keys.preview, _EXPIRES_S)
            raise_first(pipeline.execute(raise_on_error=False))

    def _painter_for(self, picture: Pixels) -> Painter:
        size = (picture.shape[1], picture.shape[0])
        if self._painter is None or self._painter[0] != size:
            # Pages have the legend and the figures beside it.
            self._painter = size, Painter(*size, strip=False)
        return self._painter[1]


def visible_part(
    image: Pixels, geometry: Geometry, result: FrameResult
) -> tuple[Pixels, Geometry, FrameResult]:
    """Cuts what the source shows out of a model input, in the source's aspect.

    Args:
        image: (H, W, 3) uint8, the model's input.
        geometry: where the source picture lies in it.
        result: of the frame.

    Returns:
        The part of the source picture that the model sees, where that part lies in the input, and the
        result with its regions and boxes in 0..1 of that part.
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
    prediction = replace(
        result.prediction,
        regions=[_moved(region, geometry, shown) for region in result.prediction.regions],
        boxes=[_moved(box, geometry, shown) for box in result.prediction.boxes],
    )
    changed = None if result.changed is None else [_moved(box, geometry, shown) for box in result.changed]
    return picture, shown, replace(result, prediction=prediction, changed=changed)


def encode(picture: Pixels) -> bytes:
    """A JPEG of an RGB picture."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data)


def _moved(one: _Bounded, source: Geometry, shown: Geometry) -> _Bounded:
    """A region or box of the source picture as one of the part that is shown."""
    left, top = _across(one.x, one.y, source, shown)
    right, bottom = _across(one.x + one.w, one.y + one.h, source, shown)
    return replace(one, x=left, y=top, w=right - left, h=bottom - top)


def _across(x: float, y: float, source: Geometry, shown: Geometry) -> tuple[float, float]:
    at_x = x * source.source_width * source.scale_x + source.offset_x
    at_y = y * source.source_height * source.scale_y + source.offset_y
    return shown.to_source(at_x, at_y)
