"""What a run saw of its scene."""

from __future__ import annotations

from dataclasses import replace

from pipeline.boxes import Box
from pipeline.results import FrameResult, ZoneState
from pipeline.stats.scene import SceneStats
from tests.pipeline.outputs.examples import a_result

BOX = Box(0.1, 0.1, 0.2, 0.2, "changed", 0.5)


def counted(*results: FrameResult) -> SceneStats:
    stats = SceneStats()
    for result in results:
        stats.add(result)
    return stats


def test_nothing_is_said_of_what_nobody_asked_for() -> None:
    stats = counted(a_result(), a_result())
    assert (stats.to_dict(), stats.texts()) == ({}, [])


def test_boxes_are_counted_over_the_frames_in_which_something_was_usual() -> None:
    stats = counted(a_result(), a_result(changed=[]), a_result(changed=[BOX, BOX]))
    told = {"frames": 2, "per_frame": 1.0, "frames_with_any": 1, "names": {"changed": 2}}
    assert stats.to_dict() == {"changed": told}
    assert stats.texts() == [("changed", "1 per frame, some in 50 % of the frames")]


def test_names_are_counted_where_some_were_learned() -> None:
    boxes = [replace(BOX, name=name) for name in ("person", "unknown", "person")]
    stats = counted(a_result(changed=boxes))
    assert stats.to_dict()["changed"]["names"] == {"person": 2, "unknown": 1}
    assert stats.texts() == [("changed", "3 per frame, some in 100 % of the frames: person 2, unknown 1")]


def test_a_zone_says_how_long_it_was_in_each_state_and_how_often_it_changed() -> None:
    states = ["open", "open", "closed", "open"]
    stats = counted(*(a_result(zones={"gate": ZoneState(state, 0.1)}) for state in states))
    assert stats.to_dict() == {"zones": {"gate": {"frames": {"open": 3, "closed": 1}, "changes": 2}}}
    assert stats.texts() == [("zone", "gate: open 75 %, closed 25 %, 2 changes")]
