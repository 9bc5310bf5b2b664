"""Names from boxes drawn while watching: examples of them make results say them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ServiceError, UsageError
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect
from workers.contract.class_store import MOST_BOXES, ClassStore
from workers.contract.keys import StreamKeys
from workers.contract.stream_store import NoStreamError, StreamStore

LOOKS = {"person": [1.0, 0, 0, 0], "van": [0, 1.0, 0, 0], "not this": [0, 0, 1.0, 0]}
CLASSES = "/v1/streams/bikes/classes"
BOX = [0.1, 0.2, 0.3, 0.4]
numbers = count()


@pytest.fixture
def yard(api: Api) -> Api:
    api.add(name="bikes")
    return api


def draw(api: Api, name: str = "person", times: int = 1, looks: str | None = None, **more: Any) -> Any:
    api.edge.vector = np.array(LOOKS.get(looks or name, [0, 0, 0, 1.0]), np.float32)
    for _ in range(times):
        body = {"name": name, "box": BOX, "frame": next(numbers), **more}
        answer = api.http.post(f"{CLASSES}/examples", json=body)
    return answer


def told(api: Api) -> dict[str, Any] | None:
    """The names that results have, by the stream's settings."""
    classes = api.http.get("/v1/streams/bikes").json()["settings"]["classes"]
    return None if classes is None else dict(classes["names"])


def listed(api: Api) -> dict[str, Any]:
    return {one["name"]: one for one in api.http.get(CLASSES).json()["classes"]}


def file(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.http.get(f"{CLASSES}.json").json()
    return found


def test_a_name_is_said_from_two_boxes_on_and_what_is_missing_until_five(yard: Api) -> None:
    view = draw(yard).json()
    assert (view["learned"], view["leave_one_out"], told(yard)) == (False, None, None)
    assert view["needs"] == "1 more until it is said, 4 until it is told well"
    view = draw(yard).json()
    assert (view["learned"], view["leave_one_out"], view["count"]) == (True, 1.0, 2)
    assert view["needs"] == "3 more of different things until it is told well"
    assert [box["told_as"] for box in view["boxes"]] == ["person", "person"]
    assert view["boxes"][0]["box"] == BOX
    assert set(told(yard) or ()) == {"person"}
    assert draw(yard, times=3).json()["needs"] is None
    # Another name is not said before it has two, and does not keep the first from being said.
    draw(yard, "van")
    assert set(told(yard) or ()) == {"person"}
    draw(yard, "van")
    names = told(yard)
    assert names is not None
    assert {name: one["examples"] for name, one in names.items()} == {"person": 5, "van": 2}


def test_a_box_that_was_called_wrong_shows_and_can_be_removed(yard: Api) -> None:
    draw(yard, times=4)
    draw(yard, "van", times=4)
    view = draw(yard, "van", looks="person").json()
    assert view["leave_one_out"] == 0.8
    (wrong,) = [box for box in view["boxes"] if box["told_as"] != "van"]
    assert wrong["told_as"] == "person"
    assert yard.http.delete(f"{CLASSES}/examples/{wrong['id']}").status_code == 204
    assert (listed(yard)["van"]["leave_one_out"], listed(yard)["van"]["count"]) == (1.0, 4)
    names = told(yard)
    assert names is not None
    assert (names["van"]["examples"], names["van"]["leave_one_out"]) == (4, 1.0)
    again = yard.http.delete(f"{CLASSES}/examples/{wrong['id']}")
    assert (again.status_code, again.json()["type"]) == (404, "urn:vwt:problem:no-example")


def test_with_its_last_box_a_name_goes_and_with_a_name_its_boxes(yard: Api) -> None:
    draw(yard, times=2)
    draw(yard, "van", times=2)
    for _ in range(2):
        box = listed(yard)["van"]["boxes"][0]["id"]
        yard.http.delete(f"{CLASSES}/examples/{box}").raise_for_status()
    assert set(listed(yard)) == set(told(yard) or ()) == {"person"}
    assert yard.http.delete(f"{CLASSES}/person").status_code == 204
    assert (listed(yard), told(yard)) == ({}, None)
    assert yard.http.delete(f"{CLASSES}/person").status_code == 404


def test_what_is_none_of_the_names_is_kept_out(yard: Api) -> None:
    view = draw(yard, "not this").json()
    assert (view["learned"], view["needs"], view["leave_one_out"]) == (False, None, None)
    assert told(yard) is None
    draw(yard, times=2)
    assert listed(yard)["not this"]["learned"]
    assert len(file(yard)["not"]) == 1
    assert list(listed(yard)) == ["person", "not this"]
    # What looks like it is told by nobody.
    draw(yard, looks="not this")
    assert listed(yard)["person"]["boxes"][-1]["told_as"] == "unknown"


def test_one_thing_in_one_frame_is_one_example_or_it_would_tell_itself(yard: Api) -> None:
    draw(yard, frame=7)
    again = draw(yard, frame=7, box=[0.12, 0.2, 0.3, 0.4])
    assert (again.status_code, "frame 7 has a box of person there already" in again.json()["detail"]) == (
        409,
        True,
    )
    assert draw(yard, frame=7, box=[0.6, 0.2, 0.3, 0.4]).json()["count"] == 2


def test_a_name_keeps_32_boxes_and_a_stream_16_names(yard: Api) -> None:
    first = draw(yard).json()["boxes"][0]["id"]
    assert draw(yard, times=MOST_BOXES - 1).json()["count"] == MOST_BOXES
    view = draw(yard).json()
    assert view["count"] == MOST_BOXES
    assert first not in [box["id"] for box in view["boxes"]]
    for number in range(15):
        assert draw(yard, f"thing {number}").status_code == 200
    assert draw(yard, "thing 15").json()["type"] == "urn:vwt:problem:too-many"
    assert draw(yard, "not this").status_code == 200


def test_names_of_a_file_are_shown_and_removed_and_those_that_were_drawn_come_back(yard: Api) -> None:
    draw(yard, times=2)
    draw(yard, "not this")
    given = file(yard)
    assert "drawn_for" not in given
    # Another file of the same name is in use in place of what was drawn.
    given["names"]["dog"] = given["names"]["person"]
    yard.http.patch("/v1/streams/bikes", json={"classes": given}).raise_for_status()
    views = yard.http.get(CLASSES).json()["classes"]
    assert [(view["name"], view["from_file"], view["learned"]) for view in views] == [
        ("dog", True, True),
        ("person", False, False),
        ("person", True, True),
        ("not this", False, False),
        ("not this", True, True),
    ]
    assert "remove those first" in views[1]["needs"]
    refused = draw(yard)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:vwt:problem:from-file")
    for name in ("dog", "not this"):
        yard.http.delete(f"{CLASSES}/{name}").raise_for_status()
    assert (set(told(yard) or ()), file(yard)["not"]) == ({"person"}, [])
    yard.http.delete(f"{CLASSES}/person").raise_for_status()
    assert len(file(yard)["not"]) == 1
    assert draw(yard).json()["count"] == 3


def test_boxes_that_another_model_saw_are_not_mixed(yard: Api) -> None:
    draw(yard)
    yard.edge.seen = ("another", "448x448 native")
    refused = draw(yard, "van")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:vwt:problem:models-differ")
    assert "remove person, or go back" in refused.json()["detail"]
    yard.http.delete(f"{CLASSES}/person")
    assert draw(yard, "van").status_code == 200


def test_many_may_draw_at_once(yard: Api) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: draw(yard, name), ["person", "van", "not this"] * 4))
    assert {name: one["count"] for name, one in listed(yard).items()} == {
        "person": 4,
        "van": 4,
        "not this": 4,
    }
    names = told(yard)
    assert names is not None
    assert {name: one["examples"] for name, one in names.items()} == {"person": 4, "van": 4}


@pytest.mark.parametrize(
    ("body", "field", "why"),
    [
        ({"name": "", "box": BOX}, "name", "at least 1"),
        ({"name": "unknown", "box": BOX}, "name", "call it something else"),
        ({"name": "changed", "box": BOX}, "name", "call it something else"),
        ({"name": "a/b", "box": BOX}, "name", "pattern"),
        ({"name": "tab\there", "box": BOX}, "name", "letters that can be shown"),
        ({"name": "van", "box": [0.1, 0.2, 0.3]}, "box.3", "required"),
        ({"name": "van", "box": [0.1, 0.2, 0, 0.3]}, "box", "give w and h above 0"),
        ({"name": "van", "box": [10, 20, 30, 40]}, "box", "not in pixels; divide by those"),
        ({"name": "van", "box": [0.8, 0.2, 0.3, 0.3]}, "box", "not inside the picture"),
        ({"name": "van", "box": BOX, "frame": -1}, "frame", "greater than or equal to 0"),
    ],
)  # fmt: skip
def test_what_is_no_box_or_no_name_is_refused_by_its_field(
    yard: Api, body: Any, field: str, why: str
) -> None:
    answer = yard.http.post(f"{CLASSES}/examples", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == f"body.{field}"
    assert why in error["reason"]


def test_what_is_no_number_is_no_box(yard: Api) -> None:
    text = '{"name": "van", "box": [NaN, 0, Infinity, 1]}'
    answer = yard.http.post(f"{CLASSES}/examples", content=text, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422


def test_what_is_not_there_or_cannot_be_seen_is_said(yard: Api) -> None:
    assert yard.http.get("/v1/streams/nobody/classes").status_code == 404
    assert yard.http.get("/v1/streams/nobody/classes.json").status_code == 404
    nothing = yard.http.get(f"{CLASSES}.json")
    assert (nothing.status_code, "draw two boxes" in nothing.json()["detail"]) == (404, True)
    yard.edge.error = UsageError("model 'null' has no patches to compare")
    refused = draw(yard)
    assert (refused.status_code, "no patches" in refused.json()["detail"]) == (422, True)
    assert yard.http.put(f"{CLASSES}/frames/3").status_code == 422
    yard.edge.error = ServiceError("no frame of bikes came")
    assert draw(yard).status_code == 503
    yard.http.patch("/v1/streams/bikes", json={"paused": True})
    assert draw(yard).json()["type"] == "urn:vwt:problem:paused"
    assert listed(yard) == {}


def test_names_go_with_their_stream(yard: Api, redis: Server) -> None:
    draw(yard, times=2)
    client = connect(redis.url)
    spec = StreamStore(client).get("bikes")
    yard.http.delete("/v1/streams/bikes")
    assert not client.exists(StreamKeys("bikes").classes)
    yard.add(name="bikes")
    assert listed(yard) == {}
    # Whoever drew in the old one's time writes nothing into the new one.
    with pytest.raises(NoStreamError):
        ClassStore(client, spec).change("person", lambda _: None)
