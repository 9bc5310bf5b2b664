"""A part of a picture, and what the features of the patches in it come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.frame import Geometry
    from pipeline.reading import PatchFeatures

_MAX_POINTS = 64
_LEAST_AREA = 1e-4
# Points per side of a patch by which it is found how much of it is covered.
_FINE = 8

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Polygon:
    """Corners (x, y) in 0..1 of the upright source picture, in order; made by `of`."""

    points: tuple[Point, ...]

    @classmethod
    def of(cls, given: Any) -> Polygon:
        """Checks corners.

        Raises:
            UsageError: they are no polygon in the picture.
        """
        try:
            points = tuple((float(x), float(y)) for x, y in given)
        except (TypeError, ValueError):
            raise UsageError(f"a polygon is a list of corners [x, y], not {given!s:.80}") from None
        if not 3 <= len(points) <= _MAX_POINTS:
            raise UsageError(f"a polygon has 3 to {_MAX_POINTS} corners, not {len(points)}")
        if not all(0 <= value <= 1 for point in points for value in point):
            raise UsageError(
                "corners of a polygon are in 0..1 of the picture's width and height, not in pixels; divide "
                "by those"
            )
        if _crosses(points):
            raise UsageError("lines of the polygon cross; give its corners in their order around it")
        if _area(points) < _LEAST_AREA:
            raise UsageError("the polygon has next to no area; give corners that lie further apart")
        return cls(points)

    def pooled(
        self, patches: PatchFeatures, geometry: Geometry, patch_size: int
    ) -> npt.NDArray[np.float32] | None:
        """(C,) of unit length: the mean over its patches, each by how much of it is covered.

        Args:
            patches: (rows, columns, C) of unit length, zeros where one was dropped.
            geometry: of the frame.
            patch_size: in pixels of the model's input.

        Returns:
            None where the model saw nothing of it.
        """
        rows, columns = patches.shape[:2]
        shares = _shares(self, geometry, (rows, columns), patch_size)
        total = np.einsum("ij,ijc->c", shares, patches)
        length = float(np.linalg.norm(total))
        return None if length == 0 else (total / length).astype(np.float32)


@lru_cache(256)
def _shares(
    polygon: Polygon, geometry: Geometry, grid: tuple[int, int], patch_size: int
) -> npt.NDArray[np.float32]:
    """(rows, columns): how much of each patch is covered, 0..1."""
    rows, columns = grid
    pixel = patch_size / _FINE
    x = (np.arange(columns * _FINE) + 0.5) * pixel - geometry.offset_x
    y = (np.arange(rows * _FINE)[:, None] + 0.5) * pixel - geometry.offset_y
    x, y = x / geometry.scale_x / geometry.source_width, y / geometry.scale_y / geometry.source_height
    # A point is inside where a line from it to the right meets an odd number of sides.
    inside = np.zeros((rows * _FINE, columns * _FINE), bool)
    for (ax, ay), (bx, by) in _sides(polygon.points):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < ax + (bx - ax) * (y - ay) / (by - ay))
    shares: npt.NDArray[np.float32] = inside.reshape(rows, _FINE, columns, _FINE).mean((1, 3), np.float32)
    return shares


def _area(points: Sequence[Point]) -> float:
    """By the shoelace formula."""
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in _sides(points))) / 2


def _crosses(points: Sequence[Point]) -> bool:
    sides = _sides(points)
    # Neighbours share a corner.
    return any(
        _cross(*sides[i], *sides[j]) for i in range(len(sides)) for j in range(i + 2, len(sides) - (i == 0))
    )


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    return _turn(a, b, c) * _turn(a, b, d) < 0 and _turn(c, d, a) * _turn(c, d, b) < 0


def _turn(a: Point, b: Point, c: Point) -> float:
    """Positive where c lies on one side of the line from a to b, negative on the other."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _sides(points: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(zip(points, [*points[1:], points[0]], strict=True))
