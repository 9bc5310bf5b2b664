"""Boxes get the name whose examples they are like, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.scene.classes import Classes, pooled
from tests.pipeline.scene.examples import PATCH, WIDTH, a_classes, around, geometry, plain

LEFT = Box(0.0, 0.0, 0.5, 1.0, "changed", 0.4)
RIGHT = Box(0.5, 0.0, 0.5, 1.0, "changed", 0.3)


def halves(left: int, right: int) -> np.ndarray:
    """Four by four patches, those of each half along an axis."""
    patches = plain(4, 4, left)
    patches[:, 2:] = plain(4, 2, right)
    return patches


def test_each_box_gets_the_name_it_is_most_like_with_how_much_it_is() -> None:
    one, other = a_classes().named([LEFT, RIGHT], halves(0, 1), geometry(4, 4), PATCH)
    assert (one.name, other.name) == ("person", "van")
    assert 0.9 < one.score <= 1
    assert (one.x, one.w, other.x, other.w) == (0, 0.5, 0.5, 0.5)


def test_what_is_like_no_name_is_unknown_even_where_one_is_nearest() -> None:
    mixed = (plain(4, 4, 0) + plain(4, 4, 5)) / np.sqrt(2).astype(np.float32)
    (box,) = a_classes().named([LEFT], mixed, geometry(4, 4), PATCH)
    assert box.name == "unknown"
    assert box.score == pytest.approx(0.7, abs=0.1)


def test_what_is_more_like_an_example_of_none_of_them_is_unknown() -> None:
    seen = around(0, 1, 0.05, seed=3)[0]
    plainly, classes = a_classes(), a_classes(1)
    assert plainly.told(seen).name == "person"
    near = Classes(classes.model, classes.seen_as, classes.centre, classes.names, np.stack([seen]))
    assert near.told(seen).name == "unknown"
    assert near.told(classes.names["van"].mean).name == "van"


@pytest.mark.parametrize("values", [None, np.zeros_like(plain(4, 4))], ids=["not known", "dropped"])
def test_a_box_of_which_nothing_was_seen_is_unknown(values: np.ndarray | None) -> None:
    (box,) = a_classes().named([LEFT], values, geometry(4, 4), PATCH)
    assert (box.name, box.score) == ("unknown", 0.0)


def test_patches_count_by_how_much_of_them_is_in_the_box_and_off_the_centre() -> None:
    # Two and a half columns, of which the half is of the other kind.
    box = Box(0.0, 0.0, 0.625, 1.0, "", 1.0)
    seen = pooled(halves(0, 1), np.zeros(WIDTH, np.float32), box, geometry(4, 4), PATCH)
    assert seen is not None
    assert seen[1] / seen[0] == pytest.approx(0.5 / 2)
    centre = plain(1, 1, 1)[0, 0]
    off = pooled(halves(0, 1), centre, box, geometry(4, 4), PATCH)
    assert off is not None
    assert off[1] / off[0] == pytest.approx((0.5 - 2.5) / 2)


def test_a_file_says_the_same_of_every_box(tmp_path: Path) -> None:
    classes, path = a_classes(3), tmp_path / "names.json"
    classes.save(path)
    read = Classes.load(path)
    assert (read.model, read.seen_as, list(read.names)) == ("a-model", "448x448 native", ["person", "van"])
    assert len(read.others) == 3
    for seed in range(6):
        (seen,) = around(seed % 3, 1, 0.3, seed)
        assert read.told(seen).name == classes.told(seen).name
        assert read.told(seen).score == pytest.approx(classes.told(seen).score, abs=1e-4)
    assert read.to_dict() == classes.to_dict()


def test_another_model_or_input_is_refused() -> None:
    classes = a_classes()
    classes.check_model("a-model", "448x448 native")
    with pytest.raises(UsageError, match="model a-model and cannot be told by another"):
        classes.check_model("another", "448x448 native")
    with pytest.raises(UsageError, match="input 448x448 native and cannot be told by 224x224 native"):
        classes.check_model("a-model", "224x224 native")


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        (["format"], "vwt-classes/9", "format 'vwt-classes/9'"),
        (["names"], {}, "0 names"),
        (["names"], [1], "no classes that can be used"),
        (["names", "unknown"], {}, "call it something else"),
        (["names", "person", "least"], 2, "least or leave_one_out of person"),
        (["names", "person", "leave_one_out"], "most", "could not convert"),
        (["names", "person", "mean"], [1.0], "no vector as long as the centre"),
        (["names", "person", "mean"], [0.0] * WIDTH, "not finite, or all zeros"),
        (["names", "person"], {}, "'least' is missing"),
        (["centre"], [], "centre is no vector"),
        (["drawn_for"], 3, "drawn_for is no text"),
        (["not"], [[1.0]], "no vector as long as the centre"),
        (["not"], [[1.0] * WIDTH] * 65, "65 examples of not this"),
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_with_the_reason_in_one_line(
    tmp_path: Path, path: list[str], to: Any, why: str
) -> None:
    file, whole = tmp_path / "names.json", a_classes(1).to_dict()
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    file.write_text(json.dumps(whole))
    with pytest.raises(UsageError, match=why) as refused:
        Classes.load(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", "\x00"])
def test_what_is_no_file_of_classes_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "names.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=r"names\.json"):
        Classes.load(path)
