"""Zones, what changed and names for it, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.command import refused, results_of, succeeds

CLIP = "sample:carphone"
FACE = "0.3,0.2 0.7,0.2 0.7,0.8 0.3,0.8"
LEARN = ("zones", "learn", CLIP, "--zone", "seat")
STATES = ("--state", "early=0.1,0.5,0.9", "--state", "late=3,3.4,3.8")


def test_a_zone_is_learned_from_moments_of_a_clip_and_told_in_every_result(tmp_path: Path) -> None:
    zones, out, summary = (tmp_path / name for name in ("zones.json", "out.jsonl", "summary.json"))
    learned = succeeds(*LEARN, "--polygon", FACE, *STATES, "-o", zones)
    assert "seat: early (3), late (3); each moment told by the others:" in learned.stderr
    succeeds(*LEARN[:-1], "window", "--polygon", "0,0 0.3,0 0.3,0.5", *STATES, "-o", zones)
    assert sorted(json.loads(zones.read_text())["zones"]) == ["seat", "window"]

    done = succeeds(
        *("run", CLIP, "--fps", "5", "--zones", zones, "--changed", "--tokenizer", "full"),
        *("--out", out, "--json-summary", summary),
    )

    results = results_of(out.read_text())
    assert {tuple(sorted(result["zones"])) for result in results} == {("seat", "window")}
    assert results[0]["zones"]["seat"]["state"] == "early"
    assert any("changed" in result for result in results)
    told = json.loads(summary.read_text())
    assert sum(told["zones"]["seat"]["frames"].values()) == len(results)
    assert "zone         seat: " in done.stderr
    assert "changed      " in done.stderr


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (["--polygon", "0,0 1,1 1,0 0,1", *STATES], "lines of the polygon cross"),
        (["--polygon", "0,0 1", *STATES], "--polygon: corner 2 is '1': give X,Y"),
        (["--polygon", FACE, "--state", "early=soon", *STATES[2:]], "is not STATE=SECONDS"),
        (["--polygon", FACE, "--state", "early=1,2", "--state", "late=2,3"], "a moment is named twice"),
        (["--polygon", FACE, *STATES[:2]], "zone seat has 1 states"),
        (["--polygon", FACE, "--state", "unknown=1,2", *STATES[2:]], "call the state something else"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_learned_is_refused_in_one_line(tmp_path: Path, given: list[str], why: str) -> None:
    assert why in refused(*LEARN, *given, "-o", tmp_path / "zones.json", code=2)


def test_a_file_that_is_no_zones_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    assert "cannot read zones" in refused("run", CLIP, "--zones", tmp_path / "none.json", code=2)


def boxes(path: Path, faces: int = 3) -> Path:
    """Of a face at so many moments of the clip, and one of what is none."""
    drawn = [{"time": 0.5 + i, "box": [0.35, 0.2, 0.3, 0.5], "name": "face"} for i in range(faces)]
    path.write_text(json.dumps([*drawn, {"time": 1, "box": [0, 0, 0.2, 0.4], "name": "not this"}]))
    return path


def test_names_are_learned_from_drawn_boxes_and_given_to_what_changed(tmp_path: Path) -> None:
    names, out, summary = (tmp_path / name for name in ("names.json", "out.jsonl", "summary.json"))
    learned = succeeds("classes", "learn", CLIP, boxes(tmp_path / "boxes.json"), "-o", names)
    assert "face has 3 boxes: 5 or more, of different things, are told better" in learned.stderr
    assert "name  boxes  told by the others  said from" in learned.stderr
    assert "1 names, 1 boxes are none of them" in learned.stderr

    done = succeeds("run", CLIP, "--fps", "5", "--classes", names, "--out", out, "--json-summary", summary)

    told = {box["name"] for result in results_of(out.read_text()) for box in result.get("changed", ())}
    assert told
    assert told <= {"face", "unknown"}
    assert set(json.loads(summary.read_text())["changed"]["names"]) == told
    assert "changed      " in done.stderr
    other = refused("run", CLIP, "--size", "448", "--classes", names, code=2)
    assert "cannot be told by 448x448" in other


def test_boxes_that_cannot_be_learned_from_are_refused_in_one_line(tmp_path: Path) -> None:
    out = ("-o", tmp_path / "names.json")
    few = refused("classes", "learn", CLIP, boxes(tmp_path / "boxes.json", 1), *out, code=2)
    assert "there is 1 box of face: give 2 at least" in few
    assert "cannot read boxes" in refused("classes", "learn", CLIP, tmp_path / "none.csv", *out, code=2)
