"""What changed in a frame, as a history keeps it.

A thing is told by the values that attention takes from its patches three quarters up the model, as names of
things are (`pipeline.scene.classes`): what the last block says of a patch is much of the picture around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.boxes import Bounded
from pipeline.history import Things
from pipeline.scene.classes import Vector, pooled

if TYPE_CHECKING:
    from pipeline.frame import Geometry
    from pipeline.reading import PatchFeatures


def thing_in(values: PatchFeatures, box: Bounded, geometry: Geometry, patch_size: int) -> Vector | None:
    """(C,) of unit length: what attention took from a box of a frame; None where the model saw nothing of it.

    Args:
        values: (rows, columns, C), see `FrameOutput`.
        box: in the picture.
        geometry: of the frame.
        patch_size: in pixels of the model's input.
    """
    return pooled(values, np.zeros(values.shape[-1], np.float32), box, geometry, patch_size)


def things_in(
    values: PatchFeatures | None, boxes: Sequence[Bounded] | None, geometry: Geometry, patch_size: int | None
) -> Things | None:
    """What changed in a frame.

    Args:
        values: see `thing_in`; None where nobody asked.
        boxes: of what changed, the most different first; None where that is not known.
        geometry, patch_size: see `thing_in`.

    Returns:
        None where there are no values; without a thing where nothing changed.
    """
    if values is None or patch_size is None:
        return None
    seen = [(box, thing_in(values, box, geometry, patch_size)) for box in boxes or ()]
    kept = [(box, vector) for box, vector in seen if vector is not None]
    places = np.array([(box.x, box.y, box.w, box.h) for box, _ in kept], np.float32).reshape(-1, 4)
    vectors = np.array([vector for _, vector in kept], np.float32).reshape(-1, values.shape[-1])
    return Things(places, vectors)
