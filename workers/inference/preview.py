"""What somebody who watches a stream sees: now and then the model's picture, with what came of it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.frame import Frame, Geometry, Pixels
from pipeline.outputs.drawing import Painter
from pipeline.outputs.visible import visible_part
from pipeline.results import FrameResult
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import raise_first, redis_errors
from workers.contract.keys import StreamKeys

_LOOK_EVERY_S = 1.0
_PAINT_EVERY_S = 0.5
_EXPIRES_S = 30
_QUALITY = 80


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

    def show(self, frame: Frame, states: npt.NDArray[np.uint8] | None, result: FrameResult) -> bool:
        """Paints a frame if it is time to and somebody watches; returns whether it was.

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
            return False
        self._paint_at = now + _PAINT_EVERY_S
        picture, geometry, prediction, changed = visible_part(
            frame.image, frame.geometry, result.prediction, result.changed
        )
        result = replace(result, prediction=prediction, changed=changed)
        painter = self._painter_for(picture)
        plain = encode(painter.paint(picture, geometry, None, result))
        jpeg = plain if states is None else encode(painter.paint(picture, geometry, states, result))
        fields = {
            "jpeg": jpeg,
            "plain": plain,
            "part": json.dumps(_part(frame.geometry)),
            "frame": result.frame,
            "at": time.time(),
        }
        with redis_errors("write the preview", self._where):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.hset(self._keys.preview, mapping=fields)
            pipeline.expire(self._keys.preview, _EXPIRES_S)
            raise_first(pipeline.execute(raise_on_error=False))
        return True

    def _painter_for(self, picture: Pixels) -> Painter:
        size = (picture.shape[1], picture.shape[0])
        if self._painter is None or self._painter[0] != size:
            # Pages have the legend and the figures beside it.
            self._painter = size, Painter(*size, strip=False)
        return self._painter[1]


def _part(geometry: Geometry) -> list[float]:
    """Left, top, right and bottom of what is shown, in 0..1 of the source picture: the rest was cropped."""
    left, top, right, bottom = geometry.content_box()
    return [round(value, 5) for value in (*geometry.to_source(left, top), *geometry.to_source(right, bottom))]


def encode(picture: Pixels) -> bytes:
    """A JPEG of an RGB picture."""
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    return bytes(data)
