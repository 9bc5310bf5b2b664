"""Names are learned from boxes that a person drew, and found again in a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.models import load_model
from pipeline.scene.drawn_boxes import Example, check_examples, read_examples
from pipeline.scene.naming import learned, values_of
from pipeline.scene.prototypes import learned_names
from tests.pipeline.scene.examples import WIDTH, around
from tests.workers.inference.examples import clip

NOBODY = np.zeros((0, WIDTH), np.float32)
FACE, WINDOW = (0.35, 0.2, 0.3, 0.5), (0.02, 0.05, 0.2, 0.4)
HEAD = "time,x,y,w,h,name"
AS_JSON = """[{"time": 1.5, "box": [0.1, 0.2, 0.3, 0.4], "name": "van"},
              {"time": 2, "box": [0, 0, 1, 1], "name": "not this"}]"""
AS_CSV = "time,x,y,w,h,name\n1.5,0.1,0.2,0.3,0.4,van\n2,0,0,1,1,not this\n"


def test_leave_one_out_tells_each_box_by_the_others() -> None:
    own, other = around(0, 4), around(1, 4, seed=1)
    # One was given the wrong name.
    made = learned_names({"person": [*own, other[0]], "van": other[1:]}, NOBODY)
    assert made["person"].right < 1
    assert made["person"].examples == 5
    clean = learned_names({"person": own, "van": other}, NOBODY)
    assert 0.7 < clean["person"].least < 1
    assert clean["person"].right >= 0.5


def test_a_name_whose_examples_differ_is_said_of_less_alike_things() -> None:
    narrow = learned_names({"person": around(0, 6, 0.05)}, NOBODY)["person"]
    wide = learned_names({"person": around(0, 6, 0.3)}, NOBODY)["person"]
    assert wide.least < narrow.least


def test_an_example_of_none_of_them_costs_those_that_are_like_it() -> None:
    own = around(0, 5)
    assert learned_names({"person": own}, np.stack([own[0]]))["person"].right < 1


def test_names_learned_in_a_clip_are_told_in_its_later_frames() -> None:
    model, frames = load_model(), clip(count=12)
    boxes = [Box(*place, name, 1.0) for place, name in ((FACE, "face"), (WINDOW, "window"))]
    values = values_of(model, frames)
    classes = learned(model, frames[:6], values[:6], [boxes] * 6)
    assert {name: one.examples for name, one in classes.names.items()} == {"face": 6, "window": 6}
    told = [
        [box.name for box in classes.named(boxes, own, frame.geometry, 14)]
        for frame, own in zip(frames[6:], values[6:], strict=True)
    ]
    assert all(
        name in (own, "unknown")
        for names in told
        for name, own in zip(names, ("face", "window"), strict=True)
    )
    assert sum(names == ["face", "window"] for names in told) >= 3


@pytest.mark.parametrize("text", [AS_JSON, AS_CSV], ids=["JSON", "CSV"])
def test_boxes_are_read_from_either_kind_of_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "boxes"
    path.write_text(text)
    van = Example(1.5, Box(0.1, 0.2, 0.3, 0.4, "van", 1.0))
    assert read_examples(path) == [van, Example(2.0, Box(0.0, 0.0, 1.0, 1.0, "not this", 1.0))]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no box in .*; give CSV"),
        ("[]", "there is no box in .*; give CSV"),
        ("[1]", 'box 1 of .* is not {"time": seconds'),
        ("{}", "it is one object; give CSV"),
        ('[{"time": 1,', "it is no JSON from line 1, column 13 on"),
        ("[" * 100_000, "it is no JSON that can be read"),
        ('[{"time": 1, "name": "van"}]', 'box 1 of .* is not {"time": seconds'),
        ('[{"time": 1, "box": [0, 0, 1], "name": "van"}]', "box 1 of .* is not"),
        ('[{"time": null, "box": [0, 0, 1, 1], "name": "van"}]', "time is None: give seconds"),
        ('[{"time": -1, "box": [0, 0, 1, 1], "name": "van"}]', "is at -1 s"),
        ('[{"time": 1, "box": [0.5, 0, 0.6, 1], "name": "van"}]', "is not inside the picture"),
        ('[{"time": 1, "box": [0, 0, 1, 1], "name": "unknown"}]', "box 1 of .* call it something else"),
        ('[{"time": 1, "box": [0, 0, 1, 1], "name": ""}]', "a name has 1 to 64 letters"),
        ("time,x,y,name\n1,0,0,van\n", "its first line has to name the columns, time,x,y,w,h,name"),
        ("1,0,0,1,1,van\n", "its first line .* is '1,0,0,1,1,van'"),
        (f"{HEAD};\n1;0;0;1;1;van\n".replace(",", ";"), "with commas between them"),
        (f"{HEAD}\nsoon,0,0,1,1,van\n", "line 2 of .*: time is 'soon': give seconds"),
        (f"{HEAD}\n\n1,0,0,1\n", "line 3 of .* has no h and no name"),
        (f"{HEAD}\n1,0,0,1,1,van,white\n", "has more values than there are columns"),
        (f"{HEAD}\n1,0,0,0,1,van\n", "has a width of 0 and a height of 1: give w and h above 0"),
        (f"{HEAD}\n1,10,20,30,40,van\n", "not in pixels; divide by those"),
        (f"{HEAD}\n1,0,0,half,1,van\n", "w is 'half': give a number in 0..1"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_no_list_of_boxes_is_refused_in_one_line(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "boxes"
    path.write_text(text)
    with pytest.raises(UsageError, match=why) as refused:
        read_examples(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (["van"], "there is 1 box of van: give 2 at least"),
        (["not this"] * 3, 'all boxes are "not this": draw some'),
        (["van"] * 2 + ["not this"] * 65, "65 examples of not this"),
    ],
    ids=["one", "none", "too many others"],
)
def test_too_few_or_too_many_are_refused(names: list[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        check_examples([Example(1.0, Box(0, 0, 1, 1, name, 1.0)) for name in names])


def test_a_model_without_patches_is_refused() -> None:
    with pytest.raises(UsageError, match="'null' has no patches"):
        values_of(load_model("null"), clip("null", count=1))
