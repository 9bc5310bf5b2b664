"""Learns names from boxes that a person drew in a clip."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.boxes import Box
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame
from pipeline.models import Model
from pipeline.reading import PatchFeatures
from pipeline.scene.classes import Classes, Vector
from pipeline.scene.prototypes import classes_of, look_inside, whole
from pipeline.scene.scene import seen_as
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer


def values_of(model: Model, frames: Sequence[Frame]) -> list[PatchFeatures]:
    """(rows, columns, C) that attention took from the patches of each frame, run in full."""
    if model.patch_size is None:
        raise UsageError(f"model '{model.name}' has no patches to compare; names want a Vision Transformer")
    engine, found = Engine(model), []
    for frame in frames:
        part = Part([frame], FullTokenizer(), patches=True, values=True)
        (output,) = engine.submit_parts([part]).result().frames
        assert output.values is not None
        found.append(output.values)
    return found


def learned(
    model: Model, frames: Sequence[Frame], values: Sequence[PatchFeatures], boxes: Sequence[Sequence[Box]]
) -> Classes:
    """Names by drawn boxes.

    Args:
        model: that the values are of.
        frames: that were drawn in.
        values: of each frame.
        boxes: drawn in each, with their names.

    Raises:
        UsageError: the model sees nothing of a box.
    """
    assert model.patch_size is not None
    examples: dict[str, list[Vector]] = {}
    for frame, own, drawn in zip(frames, values, boxes, strict=True):
        for box in drawn:
            seen = look_inside(own, box, frame.geometry, model.patch_size)
            examples.setdefault(box.name, []).append(seen)
    return classes_of(model.name, seen_as(model.input), examples, [whole(one) for one in values])
