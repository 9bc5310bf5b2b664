"""Rules that can make no event."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from pipeline.events import AnyRule
from pipeline.events.sense import never_met

ZONES = {"gate": ["open", "closed"]}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"what": "changed"}, "what changed is not looked for (--changed)"),
        ({"what": "zone", "zone": "door", "state": "open"}, "there are gate, and it is about door"),
        ({"what": "zone", "zone": "gate", "state": "ajar"}, "gate is open or closed, and never ajar"),
        ({"what": "guard"}, "no promise is held (--guard TARGET)"),
        ({"what": "zone", "zone": "gate", "state": "open"}, None),
        ({"what": "zone", "zone": "gate", "state": "unknown"}, None),
        ({"what": "cut"}, None),
    ],
)
def test_it_says_which_and_why(fields: dict[str, str], why: str | None) -> None:
    rule = TypeAdapter(AnyRule).validate_python({"name": "one", **fields})
    told = list(never_met([rule], changed=False, zones=ZONES, guarded=False))
    assert told == ([] if why is None else [f"rule one can make no event: {why}"])


def test_what_is_looked_for_is_not_told() -> None:
    rules = [
        TypeAdapter(AnyRule).validate_python({"name": "one", "what": what}) for what in ("changed", "guard")
    ]
    assert list(never_met(rules, changed=True, zones={}, guarded=True)) == []
