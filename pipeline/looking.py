"""What is looked for by a picture or a part of one, made as the moments of streams are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Geometry, Pixels
from pipeline.history import Wanted
from pipeline.models.base import Model
from pipeline.preprocess import Preprocessor
from pipeline.reading import FrameOutput
from pipeline.results import CELLS
from pipeline.stacking import Part as Looked
from pipeline.things import thing_in
from pipeline.tokenizers import FullTokenizer

# The least of a cell that a part covers.
_SLIVER = 1e-3
# Sides of what a history keeps of every frame: what is smaller may be a thing.
_WINDOW = 2 / CELLS


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

    @property
    def may_be_thing(self) -> bool:
        """Whether it is smaller than the parts of a frame that a history keeps."""
        return max(self.w, self.h) < _WINDOW

    def weights(self, geometry: Geometry) -> npt.NDArray[np.float32]:
        """(CELLS, CELLS) how much of the part lies in each cell of the input; they sum to 1.

        A part that the input does not show counts as the cell that is nearest to it.
        """
        height, width = geometry.source_height * geometry.scale_y, geometry.source_width * geometry.scale_x
        down, right = geometry.offset_y, geometry.offset_x
        rows = _shares(self.y * height + down, self.h * height, geometry.input_height)
        columns = _shares(self.x * width + right, self.w * width, geometry.input_width)
        return np.asarray(np.outer(rows, columns), np.float32)


def _shares(start: float, length: float, side: int) -> npt.NDArray[np.float32]:
    """(CELLS,) the share of a stretch that lies in each of as many equal parts of a side."""
    first, last = (min(max(edge / side, 0.0), 1.0) * CELLS for edge in (start, start + length))
    if last <= first:
        first = min(first, CELLS - _SLIVER)
        last = first + _SLIVER
    starts = np.arange(CELLS)
    covered = np.clip(np.minimum(starts + 1, last) - np.maximum(starts, first), 0, None)
    return np.asarray(covered / covered.sum(), np.float32)


def wanted(output: FrameOutput, geometry: Geometry, part: Part | None, patch_size: int | None) -> Wanted:
    """What is looked for, of what a model said of a picture.

    Args:
        output: with an embedding, and of a model with patches with cells; for a part that may be a thing with
            values.
        geometry: where the picture lies in the input.
        part: the part of it that counts; None for all of it.
        patch_size: of the model; None where it has no patches.

    Raises:
        UsageError: the model gives no embedding, or sees pictures as a whole where a part is asked for.
    """
    prediction = output.prediction
    if prediction.embedding is None:
        raise UsageError("this model has no embedding that pictures could be compared by; name another")
    if part is None:
        return Wanted(np.asarray(prediction.embedding, np.float32))
    if prediction.cells is None:
        raise UsageError("this model has no patches that a box could be looked up by: leave the box out")
    thing = None
    if part.may_be_thing and output.values is not None and patch_size is not None:
        thing = thing_in(output.values, part, geometry, patch_size)
    return Wanted(np.einsum("rc,rcd->d", part.weights(geometry), prediction.cells), part=True, thing=thing)


def look(model: Model, picture: Pixels, part: Part | None = None) -> Wanted:
    """What is looked for, by an upright picture (H, W, 3) or a part of it; all of it runs.

    Args:
        model: loaded with `embedding` or `embedding_only`, and `cells`.
        picture: uint8 RGB.
        part: see `wanted`.
    """
    image, geometry, _ = Preprocessor(model.input)(picture)
    values = model.patch_size is not None and part is not None and part.may_be_thing
    frame = Frame(FrameTimes(pts_s=None), image, geometry)
    looked = Looked([frame], FullTokenizer(), patches=values, values=values)
    (output,) = Engine(model).submit_parts([looked]).result().frames
    return wanted(output, geometry, part, model.patch_size)
