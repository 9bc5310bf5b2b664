"""Events of a run: lines beside its results, pictures in a folder, a line of the summary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.clips.packets import PacketRing
from pipeline.energy import Ledger, NoMeter
from pipeline.errors import VwtError
from pipeline.events import read_rules
from pipeline.results import Prediction, ZoneState
from pipeline.sources import SourceOptions, open_source, parse_source
from tests import make_clips
from tests.e2e.command import refused, succeeds
from tests.pipeline.outputs.examples import a_result, clip_frames
from workers.run import events as run_events
from workers.run.delivery import Delivery
from workers.run.events import RunEvents

PERSON = {"name": "person", "what": "box", "names": ["person"], "severity": "alarm"}


def delivered(tmp_path: Path, events: RunEvents, seen: list[bool]) -> list[dict[str, Any]]:
    """Delivers results with a person in them or not, and gives what was written."""
    delivery = Delivery(Ledger(NoMeter()), str(tmp_path / "out"), None, None, None, events)
    person = Prediction("boxes", boxes=[Box(0.2, 0.2, 0.3, 0.5, "person", 0.9)])
    results = [
        a_result(number, prediction=person if there else Prediction("boxes"))
        for number, there in enumerate(seen)
    ]
    pictures = clip_frames("carphone_pristine.mp4", [number / 25 for number in range(len(seen))])
    delivery.add(results, pictures, [None] * len(seen))
    delivery.close()
    return [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]


def edge(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """The colour (BGR) of a picture at a place in 0..1 of it, however JPEG blurs it."""
    return picture[round(picture.shape[0] * y), round(picture.shape[1] * x)].astype(int)


def test_the_picture_of_a_zones_event_shows_the_zone_and_no_other(tmp_path: Path) -> None:
    rules = read_rules([{"name": "open", "what": "zone", "zone": "gate", "state": "open"}])
    zones = {
        "gate": [(0.5, 0.25), (0.9, 0.25), (0.9, 0.75), (0.5, 0.75)],
        "bay": [(0.1, 0.1), (0.3, 0.1), (0.2, 0.8)],
    }
    events = RunEvents("carphone", rules, str(tmp_path), print, zones=zones)
    (frame,) = clip_frames("carphone_pristine.mp4", [0.0])
    (start,) = events.add(a_result(0, zones={"gate": ZoneState("open", 0.1)}), frame, None)
    picture = cv2.imread(start["snapshot"])
    assert picture is not None
    assert np.abs(edge(picture, 0.9, 0.5) - (120, 230, 120)).max() < 60
    assert np.abs(edge(picture, 0.2, 0.1) - (120, 230, 120)).max() > 60


def test_an_event_is_a_line_behind_its_result_with_a_picture_of_the_box(tmp_path: Path) -> None:
    said: list[str] = []
    events = RunEvents("carphone", read_rules([PERSON]), str(tmp_path / "pictures"), said.append)
    lines = delivered(tmp_path, events, [False, True, True, False])
    assert [(line.get("kind"), line["frame"]) for line in lines] == [
        (None, 0), (None, 1), ("event", 1), (None, 2), (None, 3), ("event", 3),
    ]  # fmt: skip
    start, end = lines[2], lines[5]
    assert (start["state"], start["severity"], end["state"]) == ("start", "alarm", "end")
    assert (end["id"], end["snapshot"], end["duration_s"]) == (start["id"], start["snapshot"], 0.08)
    picture = cv2.imread(start["snapshot"])
    assert picture is not None
    # In the colour of boxes.
    assert np.abs(edge(picture, 0.2, 0.5) - (0, 196, 255)).max() < 60
    assert said == ["event person at 0.0 s: 1 person"]
    assert events.text() == f"1 person; pictures in {tmp_path / 'pictures'}"


def test_what_is_under_way_ends_with_the_stream(tmp_path: Path) -> None:
    lines = delivered(tmp_path, RunEvents("carphone", read_rules([PERSON]), None, print), [True])
    assert [line.get("state") for line in lines] == [None, "start", "end"]
    assert lines[2]["reason"] == "the stream ended"


def test_a_picture_that_cannot_be_written_stops_no_results(tmp_path: Path) -> None:
    (tmp_path / "pictures").write_text("no folder")
    events = RunEvents("carphone", read_rules([PERSON]), str(tmp_path / "pictures"), print)
    with pytest.raises(VwtError, match="cannot write to"):
        delivered(tmp_path, events, [True, True])
    frames = [json.loads(line)["frame"] for line in (tmp_path / "out").read_text().splitlines()]
    assert frames == [0, 1]


def test_a_status_is_told_once_and_lost_streams_make_events() -> None:
    events = RunEvents("cam", read_rules([{"name": "lost", "what": "stream"}]), None, lambda _: None)
    states = ["running", "reconnecting", "reconnecting", "running"]
    told = [event["state"] for state in states for event in events.status(state, None, 3)]
    assert told == ["start", "end"]


def test_vwt_run_tells_events_of_a_clip(tmp_path: Path) -> None:
    rules, out = tmp_path / "rules.yaml", tmp_path / "out.jsonl"
    rules.write_text("- {name: seen, what: region, gone_s: 60}\n- {name: cut, what: cut}\n")
    run = ("run", "sample:bikes", "--tokenizer", "full", "--fps", "2", "--max-frames", "4")
    done = succeeds(*run, "--rules", rules, "--out", out, "--events", tmp_path / "seen")
    assert "events       1 seen" in done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    events = [line for line in lines if line.get("kind") == "event"]
    assert [(event["rule"], event["state"]) for event in events] == [("seen", "start"), ("seen", "end")]
    assert Path(events[0]["snapshot"]).read_bytes()[:2] == b"\xff\xd8"
    # What a rule looks at is there without being asked for.
    assert all("embedding" in line["prediction"] for line in lines if "kind" not in line)


def test_vwt_run_cuts_clips_of_events(tmp_path: Path) -> None:
    clip = make_clips.steady(tmp_path / "a.mp4", frames=60)
    rules, out = tmp_path / "rules.yaml", tmp_path / "out.jsonl"
    rules.write_text("- {name: still, what: cut, above: 0.0001, clip: {before_s: 0.5, after_s: 1}}\n")
    run = ("run", clip, "--tokenizer", "full", "--fps", "1", "--rules", rules, "--out", out)
    done = succeeds(*run, "--events", tmp_path / "seen")
    assert f"pictures and clips in {tmp_path / 'seen'}" in done.stderr
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    events = [line for line in lines if line.get("kind") == "event"]
    start, told = (next(e for e in events if e["state"] == state) for state in ("start", "clip"))
    assert (start["clip"], start["id"], start["snapshot"]) == (None, told["id"], told["snapshot"])
    with av.open(told["clip"]) as container:
        count = sum(1 for _ in container.decode(video=0))
    # From the key frame half a second before.
    assert 15 <= count <= 21
    succeeds(*run)
    reasons = {json.loads(line).get("clip_reason") for line in out.read_text().splitlines()}
    assert reasons == {None, "there is no folder for it (--events)"}


def test_the_oldest_clips_of_a_run_go_where_they_take_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = PacketRing(2**24)
    clip = make_clips.steady(tmp_path / "a.mp4", frames=60)
    source = open_source(parse_source(str(clip)), SourceOptions(decoder="cpu", packets=ring), print)
    assert len(list(source.frames())) == 60
    monkeypatch.setattr(run_events, "MOST_CLIP_BYTES", clip.stat().st_size)
    rule = PERSON | {"clip": {"before_s": 1, "after_s": 3}}
    events = RunEvents("carphone", read_rules([rule]), str(tmp_path / "seen"), print, ring)
    lines = delivered(tmp_path, events, [True, False] * 4)
    told = [Path(line["clip"]) for line in lines if line.get("state") == "clip"]
    assert len(told) == 4
    assert [path.exists() for path in told] == [False, False, False, True]


def test_bad_rules_are_told_before_anything_is_loaded(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {name: seen, what: box, at_least: 0}\n")
    line = refused("run", "sample:bikes", "--rules", rules, code=2)
    assert f"{rules}: rule 1 (seen): at_least:" in line
    assert "--rules FILE" in refused("run", "sample:bikes", "--events", tmp_path, code=2)


@pytest.mark.parametrize("option", ["--events", "--index"])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").touch()
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {name: seen, what: changed}\n")
    for folder, why in ((tmp_path / "file", "it is a file"), ("/proc/none", "No such file")):
        line = refused("run", "sample:carphone", "--rules", rules, option, folder, code=2)
        assert f"cannot write to {option} {folder}: {why}" in line
        assert "give a folder that can be written" in line


def test_rules_about_what_the_stream_never_says_are_told_at_the_start(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("- {name: moved, what: changed}\n- {name: open, what: zone, zone: gate, state: open}\n")
    said = succeeds(
        "run", "sample:carphone", "--max-frames", "2", "--rules", rules, "--out", tmp_path / "o"
    ).stderr
    assert "rule moved can make no event: what changed is not looked for (--changed)" in said
    assert "rule open can make no event: there are no zones (--zones FILE), and it is about gate" in said
