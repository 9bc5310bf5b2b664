"""Rules that can make no event."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.events import AnyRule
from pipeline.events.sense import Said, never_met
from pipeline.results import Answers

DETECTOR = Said(Answers("boxes", ["person", "car"]), zones={"gate": ["open", "closed"]})
CLASSIFIER = Said(Answers("labels", [f"kind {n}" for n in range(10)]), changed=True)
NAMER = replace(CLASSIFIER, classes=["van", "cyclist"])


def rule(**fields: Any) -> AnyRule:
    found: AnyRule = TypeAdapter(AnyRule).validate_python({"name": "one", **fields})
    return found


@pytest.mark.parametrize(
    ("said", "fields", "why"),
    [
        (DETECTOR, {"what": "changed"}, "what changed is not looked for (--changed)"),
        (DETECTOR, {"what": "zone", "zone": "door", "state": "open"}, "there are gate, and it is about door"),
        (
            DETECTOR,
            {"what": "zone", "zone": "gate", "state": "ajar"},
            "gate is open or closed, and never ajar",
        ),
        (DETECTOR, {"what": "guard"}, "no promise is held (--guard TARGET)"),
        (DETECTOR, {"what": "box", "names": ["van"]}, "the model knows person, car, and never van"),
        (
            DETECTOR,
            {"what": "label", "label": "x", "above": 0.5},
            "the model gives boxes, and it is about labels; choose another --model",
        ),
        (
            CLASSIFIER,
            {"what": "label", "label": "x", "above": 0.5},
            "the model knows kind 0, kind 1, kind 2, kind 3, kind 4, kind 5, kind 6, kind 7 and 2 more, and "
            "never x",
        ),
        (
            CLASSIFIER,
            {"what": "region"},
            "the model gives labels, and it is about regions; choose another --model",
        ),
        (CLASSIFIER, {"what": "changed", "names": ["van"]}, "what changed is called changed, and never van"),
        (
            NAMER,
            {"what": "changed", "names": ["bus", "car"]},
            "what changed is called van, cyclist, unknown, and never bus or car",
        ),
        (
            Said(Answers("none")),
            {"what": "cut"},
            "the model gives nothing, and it is about an embedding; choose another --model",
        ),
    ],
)
def test_it_says_which_and_why(said: Said, fields: dict[str, Any], why: str) -> None:
    assert list(never_met([rule(**fields)], said)) == [f"rule one can make no event: {why}"]


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        (DETECTOR, {"what": "zone", "zone": "gate", "state": "open"}),
        (DETECTOR, {"what": "zone", "zone": "gate", "state": "unknown"}),
        (DETECTOR, {"what": "box", "names": ["van", "car"]}),
        (DETECTOR, {"what": "cut"}),
        (DETECTOR, {"what": "stream"}),
        (CLASSIFIER, {"what": "label", "label": "kind 9", "above": 0.5}),
        (NAMER, {"what": "changed", "names": ["unknown"]}),
        (Said(Answers("labels")), {"what": "label", "label": "class 7", "above": 0.5}),
        (Said(Answers()), {"what": "region"}),
        (replace(DETECTOR, guarded=True), {"what": "guard"}),
    ],
)
def test_what_may_yet_happen_is_not_told(said: Said, fields: dict[str, Any]) -> None:
    assert list(never_met([rule(**fields)], said)) == []
