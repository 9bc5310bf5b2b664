"""What each rule is about, and the errors of those that cannot be right."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from pipeline.events import read_rules, read_rules_file
from pipeline.events.schedule import Schedule
from tests.pipeline.events.examples import a_result, boxes, engine, told, turns

PERSON = {"name": "person", "what": "box", "names": ["person"]}


def test_a_name_appears_and_goes() -> None:
    seen = [
        a_result(n, **boxes(*names))
        for n, names in enumerate([[], ["cat"], ["person"], ["person", "cat"], ["cat"]])
    ]
    events = told(engine(PERSON), seen)
    assert turns(events) == [("start", 2), ("end", 4)]
    start, end = events
    assert start["text"] == "1 person"
    assert start["boxes"] == boxes("person")["prediction"]["boxes"]
    assert (end["id"], end["duration_s"], end["began"]["frame"]) == (start["id"], 2.0, 2)


def test_a_name_that_was_never_there_does_not_disappear() -> None:
    rule = PERSON | {"when": "disappears"}
    assert told(engine(rule), [a_result(n, **boxes("cat")) for n in range(3)]) == []
    seen = [a_result(n, **boxes(*names)) for n, names in enumerate([["person"], [], [], ["person"]])]
    assert turns(told(engine(rule), seen)) == [("start", 1), ("end", 3)]


def test_a_count_is_of_what_stands_in_the_polygon() -> None:
    left = [[0.0, 0.5], [0.5, 0.5], [0.5, 0.7], [0.0, 0.7]]
    rule = {"name": "crowd", "what": "box", "at_least": 2, "within": left}
    right_side = [a_result(0, **boxes("a", "b", x=0.5))]
    assert told(engine(rule), [*right_side, a_result(1, **boxes("a", x=0.2))]) == []
    assert turns(told(engine(rule), [*right_side, a_result(1, **boxes("a", "b", x=0.2))])) == [("start", 1)]


def test_what_changed_and_regions_are_things_as_well() -> None:
    thing = {"x": 0.1, "y": 0.1, "w": 0.1, "h": 0.1, "score": 0.5}
    changed = a_result(0, changed=[thing | {"name": "unknown"}])
    assert turns(told(engine({"name": "a", "what": "changed"}), [changed])) == [("start", 0)]
    region = a_result(0, prediction={"kind": "regions", "regions": [thing]})
    (event,) = told(engine({"name": "a", "what": "region"}), [region])
    assert event["text"] == "1 region"


def test_a_zone_that_cannot_be_told_leaves_all_as_it_is() -> None:
    states = ["closed", "unknown", "open", "unknown", "open", "closed"]
    seen = [a_result(n, zones={"gate": {"state": state, "distance": 0.1}}) for n, state in enumerate(states)]
    rule = {"name": "gate", "what": "zone", "zone": "gate", "state": "open"}
    assert turns(told(engine(rule), [*seen, a_result(6)])) == [("start", 2), ("end", 5)]
    unknown = rule | {"state": "unknown"}
    assert turns(told(engine(unknown), seen)) == [("start", 1), ("end", 2), ("start", 3), ("end", 4)]


def test_a_score_crosses_a_threshold_with_hysteresis() -> None:
    scores = [0.5, 0.7, 0.5, 0.45, 0.7, 0.3]
    seen = [
        a_result(n, prediction={"kind": "labels", "labels": [{"label": "van", "score": score}]})
        for n, score in enumerate(scores)
    ]
    rule = {"name": "van", "what": "label", "label": "van", "above": 0.6}
    assert turns(told(engine(rule), seen)) == [("start", 1), ("end", 2), ("start", 4), ("end", 5)]
    assert turns(told(engine(rule | {"below": 0.4}), seen)) == [("start", 1), ("end", 5)]


def test_what_is_new_becomes_usual() -> None:
    def of(frame: int, *vector: float) -> dict[str, Any]:
        return a_result(frame, prediction={"kind": "embedding", "embedding": vector})

    seen = [of(n, 1.0, 0.0) for n in range(20)] + [of(n, 0.0, 1.0) for n in range(20, 60)]
    rule = {"name": "new", "what": "novelty", "above": 0.5, "memory_s": 10}
    (start, end) = told(engine(rule), seen)
    assert (start["frame"], start["value"]) == (20, 1.0)
    assert 20 < end["frame"] < 60


def test_a_cut_is_a_jump_from_one_frame_to_the_next() -> None:
    vectors = [(1.0, 0.0), (1.0, 0.1), (0.0, 1.0), (0.0, 1.0)]
    seen = [a_result(n, prediction={"kind": "embedding", "embedding": v}) for n, v in enumerate(vectors)]
    assert turns(told(engine({"name": "cut", "what": "cut"}), seen)) == [("start", 2), ("end", 3)]


def test_a_stream_is_lost_and_a_guard_broken_by_its_status() -> None:
    def status(at: float, state: str, guard: str) -> dict[str, Any]:
        return {"kind": "status", "state": state, "reason": None, "guard": guard, "at": at, "frame": 7}

    rules = ({"name": "lost", "what": "stream"}, {"name": "guard", "what": "guard", "severity": "alarm"})
    seen = [
        status(10.0, "running", "holding"),
        status(11.0, "reconnecting", "holding"),
        status(12.0, "starting", "unable"),
        status(13.0, "running", "unable"),
    ]
    found = [(event["rule"], event["state"], event["at"]) for event in told(engine(*rules), seen)]
    assert found == [("lost", "start", 11.0), ("guard", "start", 12.0), ("lost", "end", 13.0)]


@pytest.mark.parametrize(
    ("at", "covered"),
    [
        ("2026-11-27T21:59:00+01:00", False),
        ("2026-11-27T22:00:00+01:00", True),
        ("2026-11-28T05:59:00+01:00", True),
        ("2026-11-28T06:00:00+01:00", False),
        ("2026-11-28T23:00:00+01:00", False),
    ],
)
def test_a_night_is_of_the_day_it_begins_on(at: str, covered: bool) -> None:
    from datetime import datetime

    # A Friday's.
    night = Schedule(days=["fri"], start="22:00", until="06:00", zone="Europe/Berlin")
    assert night.covers(datetime.fromisoformat(at).timestamp()) is covered


@pytest.mark.parametrize(
    ("fields", "hours"),
    [
        ({"start": "08:00", "until": "17:30"}, 9.5),
        ({"start": "22:00", "until": "06:00", "days": ["fri", "sat"]}, 8),
        ({"days": ["sat", "sun", "mon"]}, 72),
        ({"start": "10:00", "until": "10:00", "days": ["wed"]}, 24),
        ({}, math.inf),
    ],
)
def test_it_knows_for_how_long_it_is_in_force(fields: dict[str, Any], hours: float) -> None:
    assert Schedule(**fields).longest_s == hours * 3600


def test_outside_its_schedule_a_rule_sees_nothing() -> None:
    rule = PERSON | {"schedule": {"start": "00:00", "until": "00:01"}}
    seen = [a_result(n, **boxes("person")) | {"captured_at": 58.0 + n} for n in range(4)]
    events = told(engine(rule), seen)
    assert turns(events) == [("start", 0), ("end", 2)]
    assert events[1]["text"] == "the schedule is over"


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (3, "rules: a list of rules is wanted"),
        ({"rule": []}, "rules: rule: not known here"),
        ([{"name": "a"}], "rule 1 (a): what: give one of box,"),
        ([{"name": "a", "what": "boxes"}], "rule 1 (a): what: give one of box,"),
        ([PERSON, {"what": "cut"}], "rule 2: name: Field required"),
        ([PERSON, PERSON], "two rules are called 'person'"),
        ([PERSON | {"for": 3}], "rule 1 (person): for: Extra inputs are not permitted"),
        ([PERSON | {"name": "A B"}], "rule 1 (A B): name: give 1 to 64 small letters, digits and -"),
        ([PERSON | {"for_s": -1}], "rule 1 (person): for_s: Input should be greater than or equal to 0"),
        ([PERSON | {"above": 0.2, "below": 0.3}], "rule 1 (person): below: 0.3 is over above"),
        ([PERSON | {"within": [[0, 0], [1, 1]]}], "within: a polygon has 3 to 64 points, not 2"),
        ([PERSON | {"within": [[0, 0], [1, 1], [2, 0]]}], "the points of a polygon are [x, y] in 0..1"),
        ([PERSON | {"within": [[0, 0], [1, 1], [1, 0], [0, 1]]}], "may not cross each other"),
        ([PERSON | {"within": [[0, 0], [0.5, 0.5], [1, 1]]}], "encloses nothing"),
        ([PERSON | {"schedule": {"zone": "Mars/Base"}}], "schedule.zone: there is no time zone 'Mars/Base'"),
        ([PERSON | {"schedule": {"start": 1320}}], 'schedule.start: a time of day is "HH:MM", in quotes'),
        ([PERSON | {"for_s": 60, "schedule": {"until": "00:01"}}], "for_s: its schedule is over after 60 s"),
        ([{"name": "a", "what": "cut", "for_s": 1}], "for_s: Input should be less than or equal to 0"),
        ([{"name": "a", "what": "region", "names": ["x"]}], "names: regions have no names"),
    ],
)  # fmt: skip
def test_a_bad_rule_gets_one_line_that_names_the_field(rules: Any, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_rules(rules)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_rules_are_read_from_yaml_and_json(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("- name: person\n  what: box\n  names: [person]\n")
    (tmp_path / "a.json").write_text(json.dumps({"rules": [PERSON]}))
    assert (
        read_rules_file(tmp_path / "a.yaml") == read_rules_file(tmp_path / "a.json") == read_rules([PERSON])
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [("- name: [", "in line"), ("\x00", "cannot read the rules"), ("", "a list of rules is wanted")],
)
def test_a_file_that_is_none_of_rules_is_one_clear_error(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        read_rules_file(path)
    with pytest.raises(UsageError, match="No such file"):
        read_rules_file(tmp_path / "none.yaml")
