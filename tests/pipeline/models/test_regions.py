"""Saliency maps become boxes in the source picture."""

import numpy as np
import pytest

from pipeline.frame import Geometry
from pipeline.models.regions import regions

SIZE = 224
# 640×320 letterboxed into 224×224: 112 rows of picture between two bars of 56 rows.
LETTERBOXED = Geometry(640, 320, SIZE, SIZE, 0.35, 0.35, 0.0, 56.0)
# 448×224 centre-cropped: 112 columns are cut off at either side.
CROPPED = Geometry(448, 224, SIZE, SIZE, 1.0, 1.0, -112.0, 0.0)
SQUARE = Geometry(SIZE, SIZE, SIZE, SIZE, 1.0, 1.0, 0.0, 0.0)


def paint(*boxes, background=0.1):
    """A map with boxes (x, y, w, h, probability) in input pixels."""
    saliency = np.full((SIZE, SIZE), background, np.float32)
    for x, y, w, h, value in boxes:
        saliency[y : y + h, x : x + w] = value
    return saliency


def box(region):
    return region.x, region.y, region.w, region.h


@pytest.mark.parametrize("geometry", [LETTERBOXED, CROPPED, SQUARE])
def test_a_box_comes_back_to_where_it_was_in_the_source(geometry):
    x, y, w, h = 84, 70, 56, 28
    (found,) = regions(paint((x, y, w, h, 0.95)), geometry)
    assert found.score == pytest.approx(0.95)
    left, top = found.x * geometry.source_width, found.y * geometry.source_height
    assert left * geometry.scale_x + geometry.offset_x == pytest.approx(x)
    assert top * geometry.scale_y + geometry.offset_y == pytest.approx(y)
    assert found.w * geometry.source_width * geometry.scale_x == pytest.approx(w)
    assert found.h * geometry.source_height * geometry.scale_y == pytest.approx(h)


def test_padding_neither_makes_nor_widens_a_region():
    inside = (100, 56, 20, 20, 0.95)
    reaching_out = (100, 20, 20, 56, 0.95)
    only_padding = (10, 0, 40, 40, 0.99)
    expected = regions(paint(inside), LETTERBOXED)
    assert len(expected) == 1
    assert regions(paint(reaching_out, only_padding), LETTERBOXED) == expected


def test_a_row_partly_over_padding_ends_at_the_edge_of_the_picture():
    # 95.2 rows of picture from row 64.4 to 159.6: the outermost rows show both.
    geometry = Geometry(640, 272, SIZE, SIZE, 0.35, 0.35, 0.0, 64.4)
    top, bottom = regions(paint((0, 0, 50, 80, 0.95), (100, 140, 50, 84, 0.93)), geometry)
    assert top.y == 0.0
    assert bottom.y + bottom.h == pytest.approx(1.0)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_a_constant_map_has_no_regions(value):
    assert regions(paint(background=value), SQUARE) == []


def test_a_map_salient_almost_everywhere_is_one_region():
    saliency = paint(background=0.97)
    saliency[0, 0] = 0.2
    (found,) = regions(saliency, SQUARE)
    assert box(found) == (0.0, 0.0, 1.0, 1.0)


def test_the_threshold_is_relative_to_the_lowest_and_highest_probability_of_the_frame():
    # From 0.1 to 0.9 the default threshold lies at 0.74.
    above, below = (10, 10, 20, 20, 0.75), (100, 100, 20, 20, 0.73)
    best = (180, 180, 20, 20, 0.9)
    found = regions(paint(above, below, best), SQUARE, min_score=0.0)
    assert [round(r.score, 2) for r in found] == [0.9, 0.75]


def test_the_least_score_is_absolute():
    weak, strong = (10, 10, 20, 20, 0.89), (100, 100, 20, 20, 0.92)
    assert [round(r.score, 2) for r in regions(paint(weak, strong), SQUARE)] == [0.92]
    assert regions(paint(weak), SQUARE) == []


def test_small_areas_are_left_out_and_the_best_come_first_up_to_the_limit():
    boxes = [(20 * i, 20 * i, 10, 10, 0.90 + 0.01 * i) for i in range(5)]
    small = (180, 10, 9, 11, 0.99)
    found = regions(paint(*boxes, small), SQUARE, limit=3)
    assert [round(r.score, 2) for r in found] == [0.94, 0.93, 0.92]


def test_a_score_is_of_its_own_area_even_where_boxes_overlap():
    # An L-shaped area whose box contains another, better area.
    corner = [(10, 10, 100, 10, 0.93), (10, 10, 10, 100, 0.93)]
    found = regions(paint(*corner, (60, 60, 20, 20, 0.97)), SQUARE)
    assert [round(r.score, 2) for r in found] == [0.97, 0.93]
    assert found[1].w == pytest.approx(100 / SIZE)
