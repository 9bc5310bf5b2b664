"""The embedding of one picture, as a stream's frames have it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Pixels
from pipeline.models.base import Model
from pipeline.preprocess import Preprocessor
from pipeline.tokenizers import FullTokenizer


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture, in 0..1 of its width and height: top left x, y and w, h."""

    x: float
    y: float
    w: float
    h: float

    @classmethod
    def parse(cls, text: str) -> Part:
        """A part as "x,y,w,h".

        Raises:
            UsageError: it is none, or reaches beyond the picture.
        """
        try:
            part = cls(*(float(number) for number in text.split(",")))
        except (TypeError, ValueError):
            raise UsageError(f"'{text}' is no box: give x,y,w,h in 0..1 of the picture") from None
        if not (part.w > 0 and part.h > 0 and min(part.x, part.y) >= 0):
            raise UsageError(f"the box {text} is empty or begins outside the picture")
        if max(part.x + part.w, part.y + part.h) > 1 + 1e-6:
            raise UsageError(f"the box {text} reaches beyond the picture: x+w and y+h are at most 1")
        return part

    def of(self, picture: Pixels) -> Pixels:
        """Cuts it out of a picture (H, W, 3); a pixel at least."""
        height, width = picture.shape[:2]
        left, top = min(int(self.x * width), width - 1), min(int(self.y * height), height - 1)
        right, bottom = round((self.x + self.w) * width), round((self.y + self.h) * height)
        return np.ascontiguousarray(picture[top : max(bottom, top + 1), left : max(right, left + 1)])


def embed(model: Model, picture: Pixels) -> npt.NDArray[np.float32]:
    """(C,) the embedding of an upright picture (H, W, 3); all of it runs.

    Args:
        model: loaded with `embedding` or `embedding_only`.
        picture: uint8 RGB.
    """
    image, geometry, _ = Preprocessor(model.input)(picture)
    (output,) = (
        Engine(model)
        .submit([Frame(FrameTimes(pts_s=None), image, geometry)], FullTokenizer())
        .result()
        .frames
    )
    assert output.prediction.embedding is not None, f"{model.name} gives no embedding"
    return np.asarray(output.prediction.embedding, np.float32)
