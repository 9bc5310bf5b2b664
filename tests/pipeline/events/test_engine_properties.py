"""What holds of events whatever the results are."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.events import Engine, Event, read_rules
from tests.pipeline.events.examples import a_result, boxes, told

_NAMES = st.lists(st.sampled_from(["person", "van"]), max_size=3)
_SECONDS = st.sampled_from([0.0, 0.5, 1.0, 2.5])


@st.composite
def streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Results whose times mostly grow, with boxes, an embedding and a zone that may be missing."""
    found: list[dict[str, Any]] = []
    at = 0.0
    for frame in range(draw(st.integers(1, 40))):
        at = draw(st.sampled_from([at + 0.5, at + 1.0, at + 1.0, 0.0]))
        one = a_result(frame, at, **boxes(*draw(_NAMES), score=draw(st.sampled_from([0.3, 0.5, 0.8]))))
        one["prediction"]["embedding"] = draw(st.sampled_from([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))
        if draw(st.booleans()):
            one["zones"] = {"gate": {"state": draw(st.sampled_from(["open", "closed", "unknown"]))}}
        found.append(one)
    return found


@st.composite
def rule_sets(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rules of every kind that looks at results, with any waits."""
    kinds: list[dict[str, Any]] = [
        {"what": "box", "names": ["person"], "above": 0.6, "below": 0.4},
        {"what": "box", "names": ["van"], "when": "disappears"},
        {"what": "box", "at_least": 2},
        {"what": "zone", "zone": "gate", "state": "open"},
        {"what": "novelty", "above": 0.3, "memory_s": 5},
        {"what": "cut", "above": 0.3},
    ]
    rules = []
    for number, kind in enumerate(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))):
        waits = {
            name: draw(_SECONDS)
            for name in ("gone_s", "quiet_s", *(["for_s"] if kind["what"] != "cut" else []))
        }
        rules.append({"name": f"rule-{number}", **kind, **waits})
    return rules


@given(streams(), rule_sets(), st.data())
@settings(max_examples=60, deadline=None)
def test_an_engine_that_goes_on_from_its_state_tells_the_same(
    results: list[dict[str, Any]], rules: list[dict[str, Any]], data: st.DataObject
) -> None:
    whole = told(Engine("yard", read_rules(rules)), results)
    cut = data.draw(st.integers(0, len(results)))
    first = Engine("yard", read_rules(rules))
    before = told(first, results[:cut])
    second = Engine("yard", read_rules(rules), json.loads(json.dumps(first.state())))
    assert before + told(second, results[cut:]) == whole


@given(streams(), rule_sets())
@settings(max_examples=60, deadline=None)
def test_every_event_ends_once_and_no_two_of_a_rule_overlap(
    results: list[dict[str, Any]], rules: list[dict[str, Any]]
) -> None:
    engine = Engine("yard", read_rules(rules))
    events = told(engine, results) + engine.finish(results[-1])
    assert engine.under_way == []
    for rule in rules:
        of = [event for event in events if event["rule"] == rule["name"]]
        assert [event["state"] for event in of] == ["start", "end"] * (len(of) // 2)
        assert [start["id"] for start in of[::2]] == [end["id"] for end in of[1::2]]
    starts = [event["id"] for event in events if event["state"] == "start"]
    assert len(set(starts)) == len(starts)


@given(streams(), st.sampled_from([0.0, 1.0, 3.0]), st.sampled_from([0.0, 1.0, 3.0]))
@settings(max_examples=60, deadline=None)
def test_waits_and_quiet_times_are_held(results: list[dict[str, Any]], for_s: float, quiet_s: float) -> None:
    rule = {"name": "a", "what": "box", "names": ["person"], "for_s": for_s, "quiet_s": quiet_s}
    engine = Engine("yard", read_rules([rule]))
    # Time that passed in results, which never goes back.
    clock, last, ended, since = 0.0, results[0]["pts_s"], None, None
    for result in results:
        clock, last = clock + max(result["pts_s"] - last, 0.0), result["pts_s"]
        there = any(box["name"] == "person" for box in result["prediction"]["boxes"])
        was: list[Event] = engine.under_way
        since = (clock if since is None else since) if there else None
        event = next(iter(engine.feed(result)), None)
        if event is not None and event["state"] == "start":
            assert since is not None
            assert clock - since >= for_s
            assert ended is None or clock - ended >= quiet_s
        elif event is not None:
            assert not there
            ended = clock
        elif not was and since is not None:
            assert clock - since < for_s or (ended is not None and clock - ended < quiet_s)


@given(streams(), rule_sets())
@settings(max_examples=30, deadline=None)
def test_what_is_kept_does_not_grow_with_the_stream(
    results: list[dict[str, Any]], rules: list[dict[str, Any]]
) -> None:
    engine = Engine("yard", read_rules(rules))
    told(engine, results)
    kept = len(json.dumps(engine.state()))
    again = [result | {"frame": result["frame"] + 1000} for result in results * 3]
    told(engine, again)
    # A start that is under way, and two numbers per vector, may come and go; nothing else does.
    assert len(json.dumps(engine.state())) < kept + 1500 * len(rules)


def test_an_event_of_a_rule_that_was_changed_ends() -> None:
    rule = {"name": "a", "what": "box"}
    engine = Engine("yard", read_rules([rule]))
    (start,) = engine.feed(a_result(0, **boxes("van")))
    changed = Engine("yard", read_rules([rule | {"names": ["person"]}]), engine.state())
    (end,) = changed.feed(a_result(1, **boxes("van")))
    assert (end["id"], end["state"], end["reason"]) == (start["id"], "end", "the rule was changed or removed")
    assert changed.feed(a_result(2, **boxes("van"))) == []


def test_streams_of_one_name_have_different_ids() -> None:
    rules = read_rules([{"name": "a", "what": "box"}])
    seen = a_result(0, **boxes("van"))
    ids = {Engine(stream, rules, salt=salt).feed(seen)[0]["id"] for stream in "ab" for salt in "12"}
    assert len(ids) == 4
