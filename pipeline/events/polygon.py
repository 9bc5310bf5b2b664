"""Parts of a picture that a person drew: polygons in 0..1 of its width and height."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

Point = tuple[float, float]

LEAST_POINTS, MOST_POINTS = 3, 64
_LEAST_AREA = 1e-5


def check_polygon(points: Sequence[Point]) -> None:
    """Refuses what encloses nothing, or not clearly.

    Raises:
        ValueError: why.
    """
    if not LEAST_POINTS <= len(points) <= MOST_POINTS:
        raise ValueError(f"a polygon has {LEAST_POINTS} to {MOST_POINTS} points, not {len(points)}")
    if not all(0 <= value <= 1 for point in points for value in point):
        raise ValueError("the points of a polygon are [x, y] in 0..1 of the picture")
    edges = list(zip(points, [*points[1:], points[0]], strict=True))
    if any(_cross(*one, *other) for one, other in combinations(edges, 2)):
        raise ValueError("the sides of a polygon may not cross each other; give its points in their order")
    if abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)) / 2 < _LEAST_AREA:
        raise ValueError("the polygon encloses nothing; give points that do not lie on one line")


def inside(point: Point, polygon: Sequence[Point]) -> bool:
    """Whether a point lies in a polygon, by the even-odd rule."""
    x, y = point
    found = False
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            found = not found
    return found


def foot(box: Mapping[str, Any]) -> Point:
    """Where the thing in a box stands: the middle of the box's lower edge."""
    return box["x"] + box["w"] / 2, box["y"] + box["h"]


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether two sides cross at a point inside both."""
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
