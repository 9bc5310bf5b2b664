"""Zones are learned, kept in a file, and told by the nearest state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.results import ZoneState
from pipeline.scene.means import learned
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Zone, Zones
from tests.pipeline.scene.examples import PATCH, WIDTH, around, geometry, plain

WHOLE = Polygon.of([(0, 0), (1, 0), (1, 1), (0, 1)])


@pytest.fixture
def gate() -> Zone:
    return learned("gate", WHOLE, {"open": around(0, 5), "closed": around(1, 5, seed=1)})


def test_the_state_is_the_one_whose_examples_are_nearest(gate: Zone) -> None:
    for axis, state in enumerate(["open", "closed"]):
        told = gate.state(plain(3, 3, axis), geometry(3, 3), PATCH)
        assert told.state == state
        assert told.distance is not None
        assert told.distance < 0.05


def test_what_looks_like_no_state_is_unknown_with_its_distance(gate: Zone) -> None:
    told = gate.state(plain(3, 3, axis=5), geometry(3, 3), PATCH)
    assert told.state == "unknown"
    assert told.distance == pytest.approx(1, abs=0.15)


def test_a_zone_of_which_nothing_is_seen_is_unknown_without_a_distance(gate: Zone) -> None:
    assert gate.state(np.zeros_like(plain(3, 3)), geometry(3, 3), PATCH) == ZoneState("unknown", None)


def test_leave_one_out_tells_each_example_by_the_others() -> None:
    own, other = around(0, 3), around(1, 3, seed=1)
    # One that was put in the wrong state is told to be of the right one: two of three, and all of the others.
    made = learned("gate", WHOLE, {"open": [*own, other[0]], "closed": other[1:]})
    assert made.accuracy == pytest.approx((3 / 4 + 1) / 2)
    assert made.examples == {"open": 4, "closed": 2}
    left_out = np.sum(own, axis=0) / np.linalg.norm(np.sum(own, axis=0))
    # And what is unknown is twice as far as that one was.
    assert made.unknown_from == pytest.approx(2 * (1 - float(other[0] @ left_out)), abs=1e-5)


def test_examples_all_alike_leave_nothing_unknown_that_is_nearer_than_halfway() -> None:
    made = learned("gate", WHOLE, {"open": around(0, 2, 0), "closed": around(1, 2, 0)})
    assert made.unknown_from == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"open": 3}, "1 states: give 2 to 8"),
        ({"open": 3, "closed": 1}, "1 moment of closed: give 2 at least"),
        (dict.fromkeys("abcdefghi", 2), "9 states: give 2 to 8"),
    ],
    ids=str,
)
def test_too_few_examples_or_states_are_refused(given: dict[str, int], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        learned("gate", WHOLE, {state: around(0, count) for state, count in given.items()})


def test_a_file_says_the_same_of_every_frame(gate: Zone, tmp_path: Path) -> None:
    path = tmp_path / "zones.json"
    Zones("a-model", "448x448 native", {"gate": gate}).save(path)
    read = Zones.load(path)
    assert (read.model, read.seen_as, list(read.zones)) == ("a-model", "448x448 native", ["gate"])
    (same,) = read.zones.values()
    assert (same.polygon, same.examples, same.accuracy) == (gate.polygon, gate.examples, gate.accuracy)
    for seed in range(5):
        (seen,) = around(seed % 3, 1, 0.4, seed)
        assert same.nearest(seen).state == gate.nearest(seen).state
        assert same.nearest(seen).distance == pytest.approx(gate.nearest(seen).distance, abs=1e-4)


def test_another_model_or_input_is_refused(gate: Zone) -> None:
    zones = Zones("a-model", "448x448 native", {"gate": gate})
    zones.check_model("a-model", "448x448 native")
    with pytest.raises(UsageError, match="model a-model and cannot be told by another"):
        zones.check_model("another", "448x448 native")
    with pytest.raises(UsageError, match="input 448x448 native and cannot be told by 224x224 native"):
        zones.check_model("a-model", "224x224 native")


def changed(whole: dict[str, Any], *path: str, to: Any) -> str:
    """A file in which one thing is another."""
    at = whole
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = to
    return json.dumps(whole)


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        (["format"], "vwt-zones/9", "format 'vwt-zones/9'"),
        (["zones"], {}, "0 zones"),
        (["zones"], [1], "no zones that can be used"),
        (["zones", "gate", "polygon"], [[0, 0]], "3 to 64 corners"),
        (["zones", "gate", "unknown_from"], "far", "could not convert"),
        (["zones", "gate", "unknown_from"], -1, "unknown_from or leave_one_out of zone gate"),
        (["zones", "gate", "leave_one_out"], 2, "unknown_from or leave_one_out of zone gate"),
        (["zones", "gate", "states"], {}, "0 states"),
        (["zones", "gate", "states", "open", "mean"], [1.0], "no vectors of one length"),
        (["zones", "gate", "states", "open", "mean"], [0.0] * WIDTH, "not finite, or next to zero"),
        *(
            (["zones", "gate", "states", "open", "mean"], [value] * WIDTH, "not finite, or next to zero")
            for value in (1e308, 1e30, 1e-30, float("nan"), float("-inf"))
        ),
        (["zones", "gate", "states", "open", "mean"], [10**400] * WIDTH, "too large"),
        (["zones", "gate", "states", "open", "examples"], 10**300, "1 to 1000000 examples"),
        (["zones", "gate", "states", "open", "examples"], -1, "1 to 1000000 examples"),
        (["model"], ["x"], "model and input are texts"),
        (["input"], "x" * 1001, "model and input are texts"),
        (["zones", "gate", "states", "open", "mean"], [[1.0]], "no vectors of one length"),
        (["zones", "gate", "states", "open"], {}, "'mean' is missing"),
    ],
    ids=str,
)
def test_a_damaged_file_is_refused_with_the_reason_in_one_line(
    gate: Zone, tmp_path: Path, path: list[str], to: Any, why: str
) -> None:
    file = tmp_path / "zones.json"
    file.write_text(changed(Zones("a-model", "448x448 native", {"gate": gate}).to_dict(), *path, to=to))
    with pytest.raises(UsageError, match=why) as refused:
        Zones.load(file)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", "\x00"])
def test_what_is_no_file_of_zones_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "zones.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UsageError, match=r"zones\.json"):
        Zones.load(path)


@pytest.mark.parametrize(
    ("zone", "state"), [("", "open"), ("a" * 65, "open"), ("gate", "unknown"), ("a\nb", "x")]
)
def test_names_that_mean_nothing_are_refused(gate: Zone, zone: str, state: str) -> None:
    whole = Zones("a-model", "448x448 native", {"gate": gate}).to_dict()
    one = whole["zones"].pop("gate")
    one["states"][state] = one["states"].pop("open")
    whole["zones"][zone] = one
    with pytest.raises(UsageError, match=r"name has|what is said"):
        Zones.from_dict(whole)
