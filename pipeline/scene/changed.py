"""Where a frame differs from what its place usually looks like, as boxes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.frame import Geometry
from pipeline.results import CHANGED

if TYPE_CHECKING:
    from pipeline.reading import PatchFeatures

# A patch shows something else from this cosine distance on.
FOREGROUND = 0.1
# A box ends where the distance is this part of the largest in it: patches around a thing know of it, too.
_EDGE = 0.3
# Points per patch of the up-sampled map, by which the edges of boxes lie between patches.
_FINE = 4
# Areas smaller than half a patch are no things.
_MIN_AREA = _FINE * _FINE // 2
_LIMIT = 50

_Map = npt.NDArray[np.float32]


def distances(patches: PatchFeatures, usual: PatchFeatures) -> _Map:
    """(rows, columns) of 1 - cosine; 0 where a patch was dropped or never seen.

    Args:
        patches, usual: (rows, columns, C) of unit length, or zeros.
    """
    alike = np.einsum("ijc,ijc->ij", patches, usual)
    known = patches.any(axis=2) & usual.any(axis=2)
    return np.where(known, 1 - alike, 0).astype(np.float32)


def changed_boxes(far: _Map, geometry: Geometry, patch_size: int) -> list[Box]:
    """Boxes the connected areas of a map that are far from usual.

    Args:
        far: (rows, columns) of distances.
        geometry: of the frame.
        patch_size: in pixels of the model's input.

    Returns:
        Boxes named "changed", the farthest first; the score is the largest distance in it, at most 1.
    """
    if float(far.max()) < FOREGROUND:
        return []
    rows, columns = far.shape
    fine = cv2.resize(far, (columns * _FINE, rows * _FINE), interpolation=cv2.INTER_LINEAR)
    # Padding is no part of the picture.
    left, top, right, bottom = (round(edge * _FINE / patch_size) for edge in geometry.content_box())
    shown = np.zeros_like(fine)
    shown[top:bottom, left:right] = fine[top:bottom, left:right]
    pixel, found = patch_size / _FINE, []
    for x, y, area in _areas(shown, FOREGROUND):
        # Two that walk side by side are one area, but two where it is cut at its edge.
        for inner_x, inner_y, part in _areas(area, max(FOREGROUND, _EDGE * float(area.max()))):
            x0, y0 = (x + inner_x) * pixel, (y + inner_y) * pixel
            sx0, sy0 = geometry.to_source(x0, y0)
            sx1, sy1 = geometry.to_source(x0 + part.shape[1] * pixel, y0 + part.shape[0] * pixel)
            found.append(Box(sx0, sy0, sx1 - sx0, sy1 - sy0, CHANGED, min(float(part.max()), 1.0)))
    return sorted(found, key=lambda box: -box.score)[:_LIMIT]


def _areas(values: _Map, least: float) -> Iterator[tuple[int, int, _Map]]:
    """Left, top and values of the connected areas of at least so much; 0 around them."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((values >= least).astype(np.uint8), connectivity=8)
    # Component 0 is everything below.
    for label, (x, y, w, h, area) in enumerate(stats[1:].tolist(), start=1):
        if area >= _MIN_AREA:
            part = np.s_[y : y + h, x : x + w]
            yield x, y, np.where(labels[part] == label, values[part], 0)
