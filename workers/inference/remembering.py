"""What the service remembers of its streams, where they are asked to keep a history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2

from pipeline.frame import Frame, Pixels
from pipeline.history import Moment, Novelty
from pipeline.outputs.visible import visible_part
from pipeline.reading import FrameOutput
from pipeline.results import FrameResult
from pipeline.things import things_in
from vocab.connection import RedisClient
from workers.contract.history_log import HistoryLog
from workers.inference.preview import encode

# The longer side of a moment's picture.
_PICTURE_SIDE = 160


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame of a stream: as it ran, what came out, and its result."""

    frame: Frame
    output: FrameOutput
    result: FrameResult


class Remembering:
    """Keeps the history of one stream under one fence. One call at a time.

    Args:
        client: of Redis.
        stream: id of the stream.
        fence: of its lease.
    """

    def __init__(self, client: RedisClient, stream: str, fence: int) -> None:
        self.fence = fence
        self._log = HistoryLog(client, stream)
        self._novelty = Novelty()

    def take(self, frames: Sequence[Seen], model: str, patch_size: int | None, most_bytes: int) -> None:
        """Keeps the frames that show something new, and with them what changed, where values were asked for.

        Args:
            frames: with the predictions as the model gave them, in order.
            model: its name.
            patch_size: of it; None where it has no patches.
            most_bytes: what all of the history may take.

        Raises:
            FencedError: a newer fence was given out.
            StoreUnavailable: Redis cannot take it now.
        """
        for seen in frames:
            prediction, result = seen.output.prediction, seen.result
            if self._novelty.keeps(prediction, result.decision):
                moment = Moment(result.frame, result.pts_s, result.times.captured_at)
                things = things_in(seen.output.values, result.changed, seen.frame.geometry, patch_size)
                self._log.append(self.fence, model, moment, prediction, _picture(seen), most_bytes, things)


def _picture(seen: Seen) -> bytes:
    picture, *_ = visible_part(seen.frame.image, seen.frame.geometry, seen.output.prediction)
    return encode(_reduced(picture))


def _reduced(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    scale = min(1.0, _PICTURE_SIDE / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    reduced: Pixels = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return reduced
