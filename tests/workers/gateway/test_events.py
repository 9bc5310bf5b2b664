"""Events in the API: rules of a stream, events by time, their pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect
from workers.access.bearer_tokens import add_token
from workers.contract.event_log import EventLog, Looked

RULE = {"name": "person", "what": "box", "names": ["person"], "within": [[0, 0], [1, 0], [0.5, 1]]}


# Newer than any that a lease gives.
_FENCE = 10**18


class Teller:
    """Writes events as Ingest does."""

    def __init__(self, url: str, stream: str) -> None:
        self._stream = stream
        self._events = EventLog(connect(url), stream, 100, 100)
        self._looked = self._events.begin(_FENCE, 0, None)

    def tell(self, *ids: str, severity: str = "info", picture: bytes | None = None, **more: Any) -> None:
        events = [event(self._stream, name, severity) | more for name in ids]
        after = Looked(self._looked.frames + 1, {}, self._looked.version + 1)
        pictures = {} if picture is None else dict.fromkeys(ids, picture)
        self._events.append(_FENCE, self._looked, after, events, pictures)
        self._looked = after


def event(stream: str, name: str, severity: str) -> dict[str, Any]:
    return {
        "stream": stream, "kind": "event", "id": name, "rule": "person", "what": "box", "state": "start",
        "at": None, "pts_s": 1.0, "frame": 1, "severity": severity, "text": "1 person", "value": 1.0,
        "boxes": [], "began": None, "clip": None,
        "snapshot": f"/v1/streams/{stream}/events/{name}/snapshot.jpg",
    }  # fmt: skip


def ids(page: dict[str, Any]) -> list[str]:
    return [event["id"] for event in page["events"]]


def test_rules_are_given_shown_and_changed(api: Api) -> None:
    view = api.add(name="yard", rules=[RULE])
    (shown,) = view["settings"]["rules"]
    assert RULE.items() <= shown.items()
    assert view["links"]["events"] == "/v1/streams/yard/events"
    changed = api.http.patch("/v1/streams/yard", json={"rules": []}).json()
    assert (changed["settings"]["rules"], changed["revision"]) == ([], 1)
    # What was shown can be sent back.
    assert api.http.patch("/v1/streams/yard", json={"rules": [shown]}).json()["settings"]["rules"] == [shown]


@pytest.mark.parametrize(
    ("wrong", "field", "reason"),
    [
        ({"at_least": 0}, "rules.0.box.at_least", "greater than or equal to 1"),
        ({"within": [[0, 0], [1, 1]]}, "rules.0.box.within", "3 to 64 points"),
        ({"what": "dog"}, "rules.0", "does not match any of the expected tags"),
        ({"schedule": {"zone": "Mars"}}, "rules.0.box.schedule.zone", "no time zone"),
    ],
)
def test_a_bad_rule_is_refused_by_its_field(api: Api, wrong: dict[str, Any], field: str, reason: str) -> None:
    answer = api.http.post("/v1/streams", json={"source": "sample:bikes", "rules": [RULE | wrong]})
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"].endswith(field)
    assert reason in error["reason"]


def test_events_are_paged_newest_first_and_found_by_time(api: Api, redis: Server) -> None:
    api.add(name="yard")
    teller = Teller(redis.url, "yard")
    teller.tell("a", "b", "c")
    teller.tell("d", severity="alarm")
    page = api.http.get("/v1/streams/yard/events", params={"limit": 3}).json()
    assert ids(page) == ["d", "c", "b"]
    older = api.http.get("/v1/streams/yard/events", params={"limit": 3, "until": page["next"]}).json()
    assert (ids(older), older["next"]) == (["a"], None)
    of_c = page["events"][1]["noted_at"]
    assert ids(api.http.get("/v1/streams/yard/events", params={"since": of_c}).json()) == ["d", "c"]
    assert ids(api.http.get("/v1/streams/yard/events", params={"until": of_c}).json()) == ["b", "a"]
    assert ids(api.http.get("/v1/streams/yard/events", params={"severity": "alarm"}).json()) == ["d"]
    assert ids(api.http.get("/v1/streams/yard/events", params={"until": 0}).json()) == []


def test_events_of_all_streams_are_in_one_order(api: Api, redis: Server) -> None:
    api.add(name="yard")
    api.add(name="gate")
    yard, gate = Teller(redis.url, "yard"), Teller(redis.url, "gate")
    for name in ("1", "2"):
        yard.tell(f"yard-{name}")
        gate.tell(f"gate-{name}")
    found = api.http.get("/v1/events").json()["events"]
    times = [event["noted_at"] for event in found]
    assert times == sorted(times, reverse=True)
    assert {event["id"] for event in found} == {"yard-1", "gate-1", "yard-2", "gate-2"}
    seen: list[str] = []
    until = None
    while True:
        query = {"limit": 1} | ({} if until is None else {"until": until})
        page = api.http.get("/v1/events", params=query).json()
        seen += ids(page)
        until = page["next"]
        if until is None:
            break
    assert sorted(seen) == sorted(event["id"] for event in found)


def test_a_picture_is_had_by_its_event(api: Api, redis: Server) -> None:
    api.add(name="yard")
    Teller(redis.url, "yard").tell("a", picture=b"\xff\xd8jpeg")
    answer = api.http.get("/v1/streams/yard/events/a/snapshot.jpg")
    assert (answer.content, answer.headers["content-type"]) == (b"\xff\xd8jpeg", "image/jpeg")
    Teller(redis.url, "yard").tell("b")
    shown = api.http.get("/v1/streams/yard/events").json()["events"]
    # One whose picture is kept no longer has none.
    assert [event["snapshot"] for event in shown] == [None, "/v1/streams/yard/events/a/snapshot.jpg"]
    missing = api.http.get("/v1/streams/yard/events/b/snapshot.jpg")
    assert (missing.status_code, missing.json()["type"].rpartition(":")[2]) == (404, "no-picture")
    assert api.http.get("/v1/streams/none/events").status_code == 404


def test_a_clip_is_had_by_its_event_whole_or_in_parts_and_goes_with_its_stream(
    serve: Callable[..., Api], redis: Server, tmp_path: Path
) -> None:
    manager = add_token(tmp_path / "tokens", "manager", "manage")
    reader = add_token(tmp_path / "tokens", "reader", "read")
    api = serve(clip_folder=tmp_path / "clips", access={"token_file": tmp_path / "tokens"})
    api.http.headers["Authorization"] = f"Bearer {manager}"
    api.add(name="yard")
    name, other = "a" * 20, "b" * 20
    path = f"/v1/streams/yard/events/{name}/clip.mp4"
    Teller(redis.url, "yard").tell(name, other, clip=None, clip_reason="the seconds after it are awaited")
    assert api.http.get(path).json()["type"].endswith("no-clip")
    (tmp_path / "clips" / "yard").mkdir(parents=True)
    (tmp_path / "clips" / "yard" / f"{name}.mp4").write_bytes(bytes(range(200)))
    answer = api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.content == bytes(range(200))
    part = api.http.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["content-range"] == "bytes 10-19/200"
    # What is there now counts, whatever was so when the event was told.
    shown = {event["id"]: event for event in api.http.get("/v1/events").json()["events"]}
    assert (shown[name]["clip"], shown[name]["clip_reason"]) == (path, None)
    assert (shown[other]["clip"], shown[other]["clip_reason"]) == (None, "the seconds after it are awaited")
    anybody = httpx.Client(base_url=api.http.base_url)
    assert anybody.get(path).status_code == 401
    # As the page has it loaded, where no header can carry the token.
    assert anybody.get(path, params={"token": reader}).status_code == 200
    snapshot = anybody.get(f"/v1/streams/yard/events/{name}/snapshot.jpg", params={"token": reader})
    assert snapshot.status_code == 404
    assert api.http.delete("/v1/streams/yard").status_code == 204
    assert not (tmp_path / "clips" / "yard").exists()
    assert api.http.get(path).status_code == 404


def test_a_clip_that_is_kept_no_longer_says_so(
    serve: Callable[..., Api], redis: Server, tmp_path: Path
) -> None:
    api = serve(clip_folder=tmp_path)
    api.add(name="yard")
    Teller(redis.url, "yard").tell("a" * 20, state="clip", clip="/somewhere.mp4", clip_reason=None)
    (shown,) = api.http.get("/v1/events").json()["events"]
    assert (shown["clip"], shown["state"]) == (None, "clip")
    assert shown["clip_reason"] == "it is kept no longer, or in the folder of another node"


@pytest.mark.parametrize("clip", [{"before_s": -1}, {"after_s": 61}, {"seconds": 3}])
def test_a_clip_that_cannot_be_right_is_refused_by_its_field(api: Api, clip: dict[str, Any]) -> None:
    answer = api.http.post("/v1/streams", json={"source": "sample:bikes", "rules": [RULE | {"clip": clip}]})
    (error,) = answer.json()["errors"]
    assert error["field"].endswith(f"rules.0.box.clip.{next(iter(clip))}")
