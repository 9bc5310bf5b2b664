"""A polygon is checked, and is made of the patches that it covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.frame import Geometry
from pipeline.scene.polygon import Polygon
from tests.pipeline.scene.examples import PATCH, geometry, plain

LEFT_HALF = Polygon.of([(0, 0), (0.5, 0), (0.5, 1), (0, 1)])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("everywhere", "a list of corners"),
        (7, "a list of corners"),
        ([[0, 0], [1, 0], ["x", 1]], "a list of corners"),
        ([[0, 0, 0], [1, 0, 0], [1, 1, 0]], "a list of corners"),
        ([[0, 0], [1, 1]], "3 to 64 corners"),
        ([[0, 0]] * 65, "3 to 64 corners"),
        ([[0, 0], [1.2, 0], [1, 1]], "in 0..1"),
        ([[0, 0], [float("nan"), 0], [1, 1]], "in 0..1"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "lines of the polygon cross"),
        ([[0, 0], [0.5, 0.5], [1, 1]], "next to no area"),
    ],
    ids=str,
)
def test_what_is_no_polygon_is_refused_with_the_reason(given: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Polygon.of(given)


def test_patches_count_by_how_much_of_them_is_covered() -> None:
    # Of five columns two and a half are in it; the third differs.
    patches = plain(4, 5)
    patches[:, 2] = plain(4, 1, axis=1)[:, 0]
    patches[:, 3:] = plain(4, 2, axis=2)
    seen = LEFT_HALF.pooled(patches, geometry(4, 5), PATCH)
    assert seen is not None
    np.testing.assert_allclose(seen[:3], np.array([2, 0.5, 0]) / np.hypot(2, 0.5), atol=0.02)


def test_patches_that_were_dropped_do_not_count() -> None:
    patches = plain(4, 4)
    patches[:2] = 0
    np.testing.assert_allclose(LEFT_HALF.pooled(patches, geometry(4, 4), PATCH), plain(1, 1)[0, 0])


def test_of_a_zone_outside_the_crop_nothing_is_seen() -> None:
    right_half_only = Geometry(112, 56, 56, 56, 1.0, 1.0, -56.0, 0.0)
    assert LEFT_HALF.pooled(plain(4, 4), right_half_only, PATCH) is None
