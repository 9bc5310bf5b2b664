"""Zones drawn while watching: moments of their states make results tell them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ServiceError
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect
from workers.contract.keys import StreamKeys
from workers.contract.stream_store import NoStreamError, StreamStore
from workers.contract.zone_store import DrawnZone, Moment, ZoneStore

GATE = [[0.1, 0.1], [0.5, 0.1], [0.5, 0.6]]
OTHER = [[0.2, 0.1], [0.5, 0.1], [0.5, 0.6]]
LOOKS = {"open": [1.0, 0, 0, 0], "closed": [0, 1.0, 0, 0]}
ZONES = "/v1/streams/bikes/zones"


@pytest.fixture
def yard(api: Api) -> Api:
    api.add(name="bikes")
    return api


def draw(api: Api, name: str = "gate", polygon: Any = GATE, states: Any = ("open", "closed")) -> Any:
    return api.http.put(f"{ZONES}/{name}", json={"polygon": polygon, "states": list(states)})


def say(api: Api, state: str, name: str = "gate", times: int = 1) -> Any:
    api.edge.vector = np.array(LOOKS.get(state, [0, 0, 1.0, 0]), np.float32)
    for _ in range(times):
        answer = api.http.post(f"{ZONES}/{name}/examples", json={"state": state})
    return answer


def teach(api: Api, name: str = "gate", times: int = 2) -> Any:
    draw(api, name)
    say(api, "open", name, times)
    return say(api, "closed", name, times)


def told(api: Api) -> dict[str, Any] | None:
    """The zones that results have, by the stream's settings."""
    zones = api.http.get("/v1/streams/bikes").json()["settings"]["zones"]
    return None if zones is None else dict(zones["zones"])


def listed(api: Api) -> dict[str, Any]:
    return {zone["name"]: zone for zone in api.http.get(ZONES).json()["zones"]}


def test_a_zone_is_told_once_each_state_has_two_moments_and_says_how_well(yard: Api) -> None:
    view = draw(yard).json()
    assert (view["learned"], view["needs"]) == (False, "2 more of open, 2 more of closed")
    assert view["leave_one_out"] is None
    say(yard, "open", times=2)
    view = say(yard, "closed").json()
    assert (view["learned"], view["needs"], told(yard)) == (False, "1 more of closed", None)
    view = say(yard, "closed").json()
    assert (view["learned"], view["needs"], view["leave_one_out"]) == (True, None, 1.0)
    assert view["states"] == [{"name": "open", "examples": 2}, {"name": "closed", "examples": 2}]
    zones = told(yard)
    assert zones is not None
    assert zones["gate"]["polygon"] == GATE
    assert zones["gate"]["states"]["open"]["mean"][0] > 0.99


def test_moments_that_were_clicked_wrong_show_and_can_be_taken_back(yard: Api) -> None:
    teach(yard)
    yard.edge.vector = np.array(LOOKS["open"], np.float32)
    wrong = yard.http.post(f"{ZONES}/gate/examples", json={"state": "closed"}).json()
    assert wrong["leave_one_out"] < 1
    right = yard.http.delete(f"{ZONES}/gate/examples/newest").json()
    assert (right["leave_one_out"], right["states"][1]["examples"]) == (1.0, 2)
    yard.http.delete(f"{ZONES}/gate/examples/newest")
    assert told(yard) is None


def test_a_frame_is_a_moment_once_or_it_would_tell_itself(yard: Api) -> None:
    draw(yard)
    say(yard, "open")
    yard.edge.frame -= 1
    again = say(yard, "open")
    assert (again.status_code, "recorded already" in again.json()["detail"]) == (409, True)
    assert say(yard, "open").json()["states"][0]["examples"] == 2


def test_a_zone_that_is_moved_begins_anew_and_one_that_stays_keeps_its_moments(yard: Api) -> None:
    teach(yard)
    kept = draw(yard, states=["open", "closed", "ajar"]).json()
    assert [state["examples"] for state in kept["states"]] == [2, 2, 0]
    assert told(yard) is None
    draw(yard)
    assert told(yard) is not None
    assert [state["examples"] for state in draw(yard, polygon=OTHER).json()["states"]] == [0, 0]
    assert told(yard) is None


def test_a_renamed_zone_is_that_of_its_rules_too(yard: Api) -> None:
    teach(yard)
    rule = {"name": "open-long", "what": "zone", "zone": "gate", "state": "open", "for_s": 30}
    yard.http.patch("/v1/streams/bikes", json={"rules": [rule]}).raise_for_status()
    assert yard.http.patch(f"{ZONES}/gate", json={"name": "north gate"}).json()["name"] == "north gate"
    assert set(listed(yard)) == set(told(yard) or ()) == {"north gate"}
    (after,) = yard.http.get("/v1/streams/bikes").json()["settings"]["rules"]
    assert after["zone"] == "north gate"
    # Nothing would ever come of the rule.
    refused = yard.http.delete(f"{ZONES}/north gate")
    assert (refused.status_code, "open-long" in refused.json()["detail"]) == (409, True)
    yard.http.patch("/v1/streams/bikes", json={"rules": []})
    assert yard.http.delete(f"{ZONES}/north gate").status_code == 204
    assert (listed(yard), told(yard)) == ({}, None)


def test_a_zone_from_a_file_is_shown_beside_those_that_were_drawn(yard: Api) -> None:
    teach(yard)
    zones = yard.http.get("/v1/streams/bikes").json()["settings"]["zones"]
    zones["zones"] = {"bay": zones["zones"]["gate"]}
    yard.http.delete(f"{ZONES}/gate")
    yard.http.patch("/v1/streams/bikes", json={"zones": zones}).raise_for_status()
    assert listed(yard)["bay"]["from_file"]
    refused = say(yard, "open", "bay")
    assert (refused.status_code, "draw it anew" in refused.json()["detail"]) == (409, True)
    teach(yard)
    assert set(told(yard) or ()) == {"bay", "gate"}
    yard.edge.seen = ("another", "448x448 native")
    refused = say(yard, "open")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:vwt:problem:models-differ")
    yard.http.patch(f"{ZONES}/bay", json={"name": "bay 1"})
    yard.http.delete(f"{ZONES}/bay 1")
    assert set(told(yard) or ()) == {"gate"}


def test_many_may_click_at_once(yard: Api) -> None:
    draw(yard)
    draw(yard, "bay")
    with ThreadPoolExecutor(4) as pool:
        asked = [(state, name) for state in ("open", "closed") for name in ("gate", "bay")] * 4
        list(pool.map(lambda one: say(yard, *one), asked))
    assert {name: [s["examples"] for s in zone["states"]] for name, zone in listed(yard).items()} == {
        "gate": [4, 4],
        "bay": [4, 4],
    }
    assert set(told(yard) or ()) == {"gate", "bay"}


def test_a_zone_keeps_64_moments_and_a_stream_16_zones(yard: Api, redis: Server) -> None:
    spec = StreamStore(connect(redis.url)).get("bikes")
    vector = np.array([1.0, 0, 0, 0], np.float32)

    def filled(present: DrawnZone | None) -> DrawnZone:
        assert present is not None
        states = ["open"] * 60 + ["closed"] * 4
        examples = [Moment(state, -frame, vector) for frame, state in enumerate(states)]
        return DrawnZone(present.polygon, present.states, examples, *yard.edge.seen)

    draw(yard)
    ZoneStore(connect(redis.url), spec).change("gate", filled)
    assert [state["examples"] for state in say(yard, "closed").json()["states"]] == [59, 5]
    for number in range(15):
        assert draw(yard, f"bay-{number}").status_code == 200
    assert draw(yard, "bay-15").json()["type"] == "urn:vwt:problem:too-many"


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"polygon": GATE, "states": ["open"]}, "states", "two states at least"),
        ({"polygon": GATE, "states": ["open", "open"]}, "states", "one name"),
        ({"polygon": GATE, "states": ["open", "unknown"]}, "states", "something else"),
        ({"polygon": GATE[:2], "states": ["a", "b"]}, "polygon", "3 to 64 corners"),
        ({"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]], "states": ["a", "b"]}, "polygon", "cross"),
        ({"polygon": [[0, 0], [1, 2], [1, 0]], "states": ["a", "b"]}, "polygon", "0..1"),
        ({"polygon": "gate", "states": ["a", "b"]}, "polygon", "list"),
    ],
)
def test_what_is_no_zone_is_refused_by_its_field(yard: Api, body: Any, field: str, why: str) -> None:
    answer = yard.http.put(f"{ZONES}/gate", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == f"body.{field}"
    assert why in error["reason"]


def test_what_is_not_there_or_cannot_be_seen_is_said(yard: Api) -> None:
    assert say(yard, "open").status_code == 404
    assert yard.http.delete(f"{ZONES}/gate").status_code == 404
    assert yard.http.patch(f"{ZONES}/gate", json={"name": "a"}).status_code == 404
    assert yard.http.delete(f"{ZONES}/gate/examples/newest").status_code == 404
    assert yard.http.get("/v1/streams/nobody/zones").status_code == 404
    draw(yard)
    assert "it has open, closed" in say(yard, "ajar").json()["errors"][0]["reason"]
    yard.edge.error = ServiceError("no frame of bikes came")
    assert say(yard, "open").status_code == 503
    yard.http.patch("/v1/streams/bikes", json={"paused": True})
    assert say(yard, "open").json()["type"] == "urn:vwt:problem:paused"


def test_zones_go_with_their_stream(yard: Api, redis: Server) -> None:
    teach(yard)
    client = connect(redis.url)
    spec = StreamStore(client).get("bikes")
    yard.http.delete("/v1/streams/bikes")
    assert not client.exists(StreamKeys("bikes").zones)
    yard.add(name="bikes")
    assert listed(yard) == {}
    # Whoever clicked in the old one's time writes nothing into the new one.
    with pytest.raises(NoStreamError):
        ZoneStore(client, spec).change("gate", lambda _: None)


def test_a_moment_of_a_frame_that_cannot_be_is_refused(yard: Api) -> None:
    draw(yard)
    answer = yard.http.post(f"{ZONES}/gate/examples", json={"state": "open", "frame": -1})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body.frame")
