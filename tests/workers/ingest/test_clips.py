"""Clips of the service: cut by whoever reads the stream, and told as the event once more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import pytest

from tests import make_clips
from tests.vocab.servers import eventually
from tests.workers.ingest.test_worker import run, spec_of, stop
from workers.contract.event_log import EventLog
from workers.contract.stream_store import StreamStore
from workers.settings.folders import clip_folder
from workers.settings.schema import ServiceSettings
from workers.telemetry.metrics import EVENT_FAILURES, EVENTS, EVENTS_OPEN

__all__ = ["run"]

# Seen in every result, from the third second on by the time it has to last.
SEEN = {"name": "seen", "what": "label", "label": "picture", "above": 0.5, "severity": "alarm", "for_s": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where clips of the service lie."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "vwt" / "clips"


def events(client: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for _, text in EventLog(client, "cam").after("0-0", 1000)]


def states(client: Any) -> list[str]:
    return [event["state"] for event in events(client)]


def seconds(path: Path) -> tuple[int, float]:
    """How many pictures a clip has, and how long they last."""
    with av.open(str(path)) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    return len(stamps), stamps[-1] - stamps[0]


def test_an_event_of_a_file_is_told_with_its_clip_and_so_is_its_end(
    client, run, watch, clip, tmp_path, told
) -> None:
    out = tmp_path / "out.jsonl"
    sinks = [{"kind": "jsonl", "path": str(out), "events": "only"}]
    rule = SEEN | {"clip": {"before_s": 1, "after_s": 2}}
    StreamStore(client).add(spec := spec_of(clip, rules=[rule], sinks=sinks))
    run(spec)
    watch("cam").until_state("ended")
    start, clipped, end = (json.loads(line) for line in out.read_text().splitlines())
    assert (start["state"], start["clip"], start["clip_reason"]) == (
        *("start", None), "the seconds after it are awaited",
    )  # fmt: skip
    assert (clipped["state"], clipped["id"], clipped["clip_reason"]) == ("clip", start["id"], None)
    assert clipped["snapshot"] == start["snapshot"] == f"/v1/streams/cam/events/{start['id']}/snapshot.jpg"
    assert clipped["clip"] == end["clip"] == f"/v1/streams/cam/events/{start['id']}/clip.mp4"
    # The event begins at 3 s; key frames are half a second apart.
    found = clip_folder(ServiceSettings()).find("cam", start["id"])
    count, lasts = seconds(found)
    assert (count, lasts) == (31, pytest.approx(3.0, abs=0.11))
    noted = [(name, value, labels) for name, value, labels in told if name.startswith("vwt_event")]
    assert (EVENTS.name, 1.0, {"what": "label", "severity": "alarm"}) in noted
    assert [value for name, value, _ in noted if name == EVENTS_OPEN.name][-1] == 0
    assert EVENT_FAILURES.name not in {name for name, _, _ in noted}


def test_a_source_that_cannot_be_cut_says_why(client, run, watch, tmp_path, told) -> None:
    (tmp_path / "photos").mkdir()
    with av.open(str(make_clips.steady(tmp_path / "a.mp4", frames=3))) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(tmp_path / "photos" / f"{number}.png")
    rule = SEEN | {"clip": {}, "for_s": 0}
    StreamStore(client).add(spec := spec_of(tmp_path / "photos", rules=[rule]))
    run(spec)
    watch("cam").until_state("ended")
    assert states(client) == ["start", "end"]
    assert {(event["clip"], event["clip_reason"]) for event in events(client)} == {
        (None, "its source has no packets of video to cut from, as images have none")
    }
    assert (EVENT_FAILURES.name, 1.0, {"part": "clip"}) in told


def test_a_disk_that_takes_no_clip_costs_the_clip_alone(client, run, watch, clip, folder) -> None:
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder is to be")
    StreamStore(client).add(spec := spec_of(clip, rules=[SEEN | {"clip": {}}]))
    run(spec)
    watch("cam").until_state("ended")
    assert states(client) == ["start", "clip", "end"]
    assert "cannot be written" in events(client)[1]["clip_reason"]
    assert events(client)[2]["clip"] is None


def test_a_clip_whose_reader_stopped_is_told_as_lost_by_the_next(client, run, clip) -> None:
    rule = SEEN | {"clip": {"after_s": 60}}
    StreamStore(client).add(spec := spec_of(clip, rules=[rule], loop=True, realtime=True))
    first = run(spec)
    eventually(lambda: states(client) == ["start"])
    stop(first, client)
    run(spec, replica="two")
    eventually(lambda: len(states(client)) == 2)
    assert events(client)[1]["clip_reason"] == "its reader stopped before it was cut"


def test_a_clip_of_a_camera_covers_its_seconds_though_it_is_lost_before_they_are_over(
    client, run, rtsp_server
) -> None:
    rule = SEEN | {"for_s": 1, "clip": {"before_s": 0.5, "after_s": 1}}
    lost = {"name": "lost", "what": "stream", "clip": {"before_s": 2, "after_s": 60}}
    StreamStore(client).add(spec := spec_of(rtsp_server.url, rules=[rule, lost]))
    run(spec)
    eventually(lambda: states(client) == ["start", "clip"], 40)
    folder = clip_folder(ServiceSettings())
    _, lasts = seconds(folder.find("cam", events(client)[1]["id"]))
    # From the key frame before; they are half a second apart.
    assert 1.3 <= lasts <= 2.3
    rtsp_server.kill()
    eventually(lambda: states(client)[2:] == ["start", "clip"], 40)
    assert seconds(folder.find("cam", events(client)[3]["id"]))[0] > 5
