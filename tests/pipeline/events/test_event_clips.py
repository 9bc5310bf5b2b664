"""What is told of clips that are awaited: never twice in a different way, and never more than are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.clips.packets import Cut, PacketRing
from pipeline.events import Engine, read_rules
from pipeline.events.clips import EventClips
from tests import make_clips
from tests.pipeline.clips.test_clips import MANY, read

RULE = {"name": "seen", "what": "label", "label": "a", "above": 0.5, "clip": {"before_s": 1, "after_s": 1}}


@pytest.fixture
def packets(tmp_path: Path) -> PacketRing:
    return read(make_clips.steady(tmp_path / "a.mp4", frames=60, rate=10), MANY)


def seen(frame: int, score: float = 0.9) -> dict[str, Any]:
    labels = [{"label": "a", "score": score}]
    return {"frame": frame, "pts_s": frame / 10, "prediction": {"kind": "labels", "labels": labels}}


def test_a_clip_that_was_cut_but_could_not_be_told_is_told_again_as_it_was(packets: PacketRing) -> None:
    rules = read_rules([RULE])
    cuts: list[Cut] = []
    clips = EventClips(rules, packets, lambda event, cut: cuts.append(cut) or event["id"])
    engine = Engine("yard", rules)
    told = engine.feed(seen(20))
    clips.begin(told, seen(20))
    kept = engine.state(), clips.waiting
    (first,) = clips.due(engine)
    # Writing that failed: all begins again from what was kept.
    engine = Engine("yard", rules, kept[0])
    clips.resume(kept[1])
    (again,) = clips.due(engine)
    assert again == first
    assert first["clip"] == first["id"]
    assert len(cuts) == 1
    assert clips.due(engine) == []
    # Who takes over knows only that it was awaited.
    other = EventClips(rules, packets, lambda event, _: event["id"])
    other.resume(kept[1])
    assert [event["clip_reason"] for event in other.due(engine)] == ["its reader stopped before it was cut"]


def test_only_so_many_clips_are_awaited(packets: PacketRing) -> None:
    rules = read_rules([RULE])
    clips, engine = EventClips(rules, packets, lambda event, _: event["id"]), Engine("yard", rules)
    reasons = []
    for number in range(40):
        result = seen(number, 0.9 if number % 2 else 0.1)
        told = engine.feed(result)
        clips.begin(told, result)
        reasons += [event["clip_reason"] for event in told if event["state"] == "start"]
    assert len(clips.waiting) == 16
    assert reasons[16:] == ["16 clips are awaited already"] * 4
