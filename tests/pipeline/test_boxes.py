"""Boxes, and when two are the same."""

from dataclasses import replace

import pytest

from pipeline.boxes import Box, f1, iou
from pipeline.results import Prediction, Region

PERSON = Box(0.1, 0.2, 0.2, 0.4, "person", 0.91236)


def test_a_box_is_told_with_its_name_and_with_its_id_where_it_has_one() -> None:
    told = {"name": "person", "score": 0.9124, "x": 0.1, "y": 0.2, "w": 0.2, "h": 0.4}

    assert PERSON.to_dict() == told
    assert replace(PERSON, id="7").to_dict() == told | {"id": "7"}
    assert Prediction("boxes", boxes=[PERSON]).to_dict() == {"kind": "boxes", "boxes": [told]}
    assert Prediction("boxes").to_dict() == {"kind": "boxes", "boxes": []}


def test_overlap_is_what_is_shared_of_what_is_covered() -> None:
    assert iou(PERSON, PERSON) == pytest.approx(1)
    # Half of each is shared: one of three halves.
    assert iou(PERSON, replace(PERSON, x=0.2)) == pytest.approx(1 / 3)
    assert iou(PERSON, replace(PERSON, x=0.4)) == 0
    assert iou(PERSON, replace(PERSON, w=0.0)) == 0


def test_boxes_are_the_same_only_by_the_same_name() -> None:
    near, far = replace(PERSON, x=0.12), replace(PERSON, x=0.6)

    assert f1([PERSON], [near]) == 1
    assert f1([PERSON], [far]) == 0
    assert f1([PERSON], [replace(near, name="car")]) == 0
    assert f1([PERSON, far], [near]) == pytest.approx(2 / 3)
    assert f1([], []) == 1
    assert f1([], [PERSON]) == 0


def test_a_box_is_found_once_and_goes_to_the_one_that_it_covers_most() -> None:
    assert f1([PERSON, PERSON], [PERSON]) == pytest.approx(2 / 3)
    near, nearer = replace(PERSON, x=0.13), replace(PERSON, x=0.11)
    # The first takes the nearer of the two and leaves the other to the second.
    assert f1([PERSON, replace(PERSON, x=0.15)], [near, nearer]) == 1


def test_regions_have_no_names_to_agree_on() -> None:
    assert f1([Region(0, 0, 0.5, 0.5, 0.9)], [Region(0, 0, 0.5, 0.4, 0.2)]) == 1
