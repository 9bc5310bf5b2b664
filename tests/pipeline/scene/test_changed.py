"""What is far from usual becomes boxes where it is in the source picture."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.boxes import Box, iou
from pipeline.frame import Geometry
from pipeline.scene.changed import FOREGROUND, changed_boxes, distances
from tests.pipeline.scene.examples import PATCH, geometry, plain, towards


def test_the_distance_is_one_minus_the_cosine() -> None:
    patches = plain(2, 3)
    patches[1, 2] = towards(0.7)
    far = distances(patches, plain(2, 3))
    np.testing.assert_allclose(far, [[0, 0, 0], [0, 0, 0.3]], atol=1e-6)


def test_what_was_dropped_or_never_seen_did_not_change() -> None:
    patches, usual = plain(2, 3, axis=1), plain(2, 3)
    patches[0, 0], usual[0, 1] = 0, 0
    assert distances(patches, usual).tolist() == [[0, 0, 1], [1, 1, 1]]


def test_nothing_far_gives_no_box() -> None:
    far = np.full((6, 8), FOREGROUND - 0.01, np.float32)
    assert changed_boxes(far, geometry(6, 8), PATCH) == []


def test_a_thing_is_boxed_where_it_is_with_its_largest_distance() -> None:
    far = np.zeros((10, 20), np.float32)
    far[2:6, 4:9] = 0.5
    far[3, 5] = 0.6
    (box,) = changed_boxes(far, geometry(10, 20), PATCH)
    assert iou(box, Box(4 / 20, 2 / 10, 5 / 20, 4 / 10, "changed", 1.0)) > 0.7
    assert (box.name, box.score) == ("changed", pytest.approx(0.6, abs=0.06))


def test_two_with_less_between_them_are_two_boxes_the_farther_first() -> None:
    far = np.zeros((10, 20), np.float32)
    far[3:7, 3:6], far[3:7, 6:8], far[3:7, 8:11] = 0.8, 0.15, 0.9
    boxes = changed_boxes(far, geometry(10, 20), PATCH)
    assert len(boxes) == 2
    assert boxes[0].x > boxes[1].x
    assert [box.score for box in boxes] == pytest.approx([0.9, 0.8], abs=0.05)


def test_a_speck_below_half_a_patch_is_nothing() -> None:
    far = np.zeros((10, 20), np.float32)
    far[5, 5] = FOREGROUND * 1.05
    assert changed_boxes(far, geometry(10, 20), PATCH) == []


def test_padding_never_changes() -> None:
    # A picture half as high as wide, in the middle of a square.
    padded = Geometry(140, 70, 140, 140, 1.0, 1.0, 0.0, 35.0)
    far = np.ones((10, 10), np.float32)
    (box,) = changed_boxes(far, padded, PATCH)
    assert (box.x, box.y, box.w, box.h) == pytest.approx((0, 0, 1, 1), abs=0.03)


def test_a_box_of_a_cropped_picture_lies_in_the_whole_picture() -> None:
    cropped = Geometry(280, 140, 140, 140, 1.0, 1.0, -70.0, 0.0)
    far = np.zeros((10, 10), np.float32)
    far[:, :5] = 0.5
    (box,) = changed_boxes(far, cropped, PATCH)
    assert (box.x, box.x + box.w) == pytest.approx((0.25, 0.5), abs=0.03)
