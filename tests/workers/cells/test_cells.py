"""Two real services and the directory over them, on real sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.responses import PlainTextResponse
from websockets.sync.client import connect as open_socket

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer, events_of
from tests.workers.gateway.test_events import Teller
from workers.access.bearer_tokens import BearerTokens, add_token
from workers.cells.api import build_directory
from workers.cells.cell import Cell
from workers.contract.bill import Figures
from workers.gateway.listener import Listener
from workers.settings.schema import GatewaySettings, ServiceSettings
from workers.telemetry.metrics import CELLS, SERVICE


class Cells:
    """A directory over services, each with a Redis of its own."""

    def __init__(self, token_file: Path | None = None, **own: Path) -> None:
        self.redis = {name: Server("valkey") for name in ("north", "south")}
        self.apis = {}
        for name, server in self.redis.items():
            access = {"token_file": own.get(name, token_file)}
            self.apis[name] = Api(ServiceSettings.model_validate({"redis": server.url, "access": access}))
        tokens = None if token_file is None else BearerTokens(token_file)
        cells = [Cell(name, f"http://127.0.0.1:{api.port}") for name, api in self.apis.items()]
        self.listener = Listener(build_directory(cells, tokens, GatewaySettings()), "127.0.0.1", 0, 100, 1)
        self.url = f"http://127.0.0.1:{self.listener.port}"
        self.http = httpx.Client(base_url=self.url, timeout=20)

    def add(self, **stream: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/streams", json={"source": "sample:bikes", **stream})
        assert answer.status_code == 201, answer.text
        added: dict[str, Any] = answer.json()
        return added

    def streams(self) -> dict[str, dict[str, Any]]:
        """All views by id, page by page."""
        found: dict[str, dict[str, Any]] = {}
        query: dict[str, str] = {"limit": "2"}
        while True:
            page = self.http.get("/v1/streams", params=query).json()
            found |= {view["id"]: view for view in page["streams"]}
            if page["next"] is None:
                return found
            query["after"] = page["next"]

    def close(self) -> None:
        self.http.close()
        self.listener.close()
        for api in self.apis.values():
            api.close()
        for server in self.redis.values():
            server.close()


@pytest.fixture(scope="module")
def standing() -> Iterator[Cells]:
    cells = Cells()
    yield cells
    cells.close()


@pytest.fixture
def cells(standing: Cells) -> Iterator[Cells]:
    yield standing
    for api in standing.apis.values():
        for view in api.http.get("/v1/streams").json()["streams"]:
            assert api.http.delete(f"/v1/streams/{view['id']}").status_code == 204


@pytest.fixture
def failing() -> Iterator[Cells]:
    """Of which one is to fail."""
    cells = Cells()
    yield cells
    cells.close()


def test_streams_of_all_cells_are_listed_as_one_and_each_says_where_it_is(cells: Cells) -> None:
    cells.apis["north"].add(name="gate")
    cells.apis["south"].add(name="yard")
    assert {name: view["cell"] for name, view in cells.streams().items()} == {
        "gate": "north",
        "yard": "south",
    }
    assert cells.http.get("/v1/cells").json()["cells"] == {
        name: {"ok": True, "reason": None} for name in ("north", "south")
    }


def test_what_is_asked_of_a_stream_reaches_its_cell(cells: Cells) -> None:
    cells.apis["south"].add(name="yard")
    assert cells.http.get("/v1/streams/yard").json()["id"] == "yard"
    assert cells.http.patch("/v1/streams/yard", json={"paused": True}).json()["settings"]["paused"]
    assert cells.apis["south"].http.get("/v1/streams/yard").json()["settings"]["paused"]
    assert cells.http.patch("/v1/streams/yard", json={"fps": -1}).status_code == 422
    assert cells.http.delete("/v1/streams/yard").status_code == 204
    assert cells.apis["south"].http.get("/v1/streams").json()["streams"] == []
    gone = cells.http.get("/v1/streams/yard")
    assert (gone.status_code, gone.json()["type"]) == (404, "urn:vwt:problem:no-stream")


def test_a_new_stream_goes_where_there_are_fewest_or_where_it_is_said(cells: Cells) -> None:
    cells.add(name="one", cell="south")
    cells.add(name="two", cell="south")
    cells.add(name="three")
    assert {name: view["cell"] for name, view in cells.streams().items()} == {
        "one": "south",
        "two": "south",
        "three": "north",
    }
    unknown = cells.http.post("/v1/streams", json={"source": "sample:bikes", "cell": "west"})
    assert (unknown.status_code, unknown.json()["type"]) == (422, "urn:vwt:problem:no-cell")


def test_no_two_cells_get_a_stream_of_one_name(cells: Cells) -> None:
    cells.apis["south"].add(name="yard")
    taken = cells.http.post("/v1/streams", json={"source": "sample:bikes", "name": "yard", "cell": "north"})
    assert (taken.status_code, taken.json()["type"]) == (409, "urn:vwt:problem:stream-exists")
    assert [cells.add()["id"] for _ in range(3)] == ["bikes", "bikes-2", "bikes-3"]
    assert sorted(cells.streams()) == ["bikes", "bikes-2", "bikes-3", "yard"]


def test_a_stream_that_was_put_into_another_cell_is_found_there(cells: Cells) -> None:
    cells.apis["north"].add(name="gate")
    assert cells.http.get("/v1/streams/gate").status_code == 200
    cells.apis["north"].http.delete("/v1/streams/gate")
    cells.apis["south"].add(name="gate", source="sample:bunny")
    assert cells.http.get("/v1/streams/gate").json()["source"] == "sample:bunny"
    assert cells.streams()["gate"]["cell"] == "south"


def test_results_come_as_they_are_made_and_resume(cells: Cells) -> None:
    cells.apis["south"].add(name="yard")
    writer = Writer(cells.redis["south"].url, "yard")
    writer.frames(0, 2)
    with cells.http.stream("GET", "/v1/streams/yard/results", params={"after": "0"}) as answer:
        events = events_of(answer)
        assert [next(events).frame for _ in range(2)] == [0, 1]
        writer.frames(2, 1)
        third = next(events)
        assert third.frame == 2
    writer.frames(3, 1)
    headers = {"Last-Event-ID": third.id}
    with cells.http.stream("GET", "/v1/streams/yard/results", headers=headers) as answer:
        assert next(events_of(answer)).frame == 3
    with open_socket(f"{cells.url.replace('http', 'ws')}/v1/streams/yard/ws?after=0") as socket:
        told = [json.loads(socket.recv(timeout=20)) for _ in range(4)]
        assert [one["data"]["frame"] for one in told] == [0, 1, 2, 3]
        writer.frames(4, 1)
        assert json.loads(socket.recv(timeout=20))["data"]["frame"] == 4


def test_a_wall_gets_pictures_of_all_cells_at_once(cells: Cells) -> None:
    for name, cell in (("gate", "north"), ("yard", "south")):
        writer = _added(cells, name, cell)
        writer.client.hset(writer.keys.preview, mapping={"frame": 7, "jpeg": name, "plain": name})
    cells.streams()
    pictures = cells.http.get("/v1/previews", params={"stream": ["gate", "yard", "none"]}).json()["pictures"]
    assert {name: one and one["frame"] for name, one in pictures.items()} == {
        "gate": 7,
        "yard": 7,
        "none": None,
    }


def test_the_page_and_its_files_are_those_of_a_cell(cells: Cells) -> None:
    assert "vwt-stream" in cells.http.get("/").text
    script = cells.http.get("/page/app.js")
    assert (script.status_code, script.headers["content-type"].partition(";")[0]) == (200, "text/javascript")
    assert "StreamSettings" in cells.http.get("/openapi.json").json()["components"]["schemas"]


def _metrics(cells: Cells, **login: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by family and by labels."""
    answer = cells.http.get("/metrics", headers=login)
    assert answer.status_code == 200, answer.text
    return {
        family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(answer.text)
    }


def test_prometheus_is_told_of_each_cell_in_sums_and_of_no_single_stream(cells: Cells) -> None:
    for name, cell in (("gate", "north"), ("roof", "north"), ("yard", "south")):
        cells.apis[cell].add(name=name, paused=True)
    told = _metrics(cells)
    assert told["vwt_cell_up"] == {("north",): 1, ("south",): 1}
    assert told["vwt_streams"]["north", "starting"] == 2
    assert told["vwt_streams"]["south", "starting"] == 1
    assert told["vwt_redis_up"] == {("north",): 1, ("south",): 1}
    assert set(told) == {metric.name for metric in (*SERVICE, *CELLS) if "stream" not in metric.labels}


def test_a_cell_that_is_away_is_told_to_prometheus_and_the_others_go_on(failing: Cells) -> None:
    failing.redis["south"].kill()
    failing.apis["north"].close()
    told = _metrics(failing)
    assert told["vwt_cell_up"] == {("north",): 0, ("south",): 1}
    assert told["vwt_redis_up"] == {("south",): 0}
    failing.apis["south"].close()
    assert _metrics(failing)["vwt_cell_up"] == {("north",): 0, ("south",): 0}


def test_a_cell_that_fails_takes_no_other_with_it(failing: Cells) -> None:
    failing.apis["north"].add(name="gate")
    failing.apis["south"].add(name="yard")
    failing.streams()
    failing.apis["north"].close()
    found = failing.streams()
    assert found["yard"]["shown"]["state"] == "starting"
    assert found["gate"]["shown"]["state"] == "failed"
    assert "the cell north does not answer" in found["gate"]["shown"]["reason"]
    assert failing.http.get("/v1/streams/yard").status_code == 200
    assert failing.http.get("/v1/streams/gate").status_code == 503
    # It may be in the cell that does not answer.
    assert failing.http.get("/v1/streams/attic").status_code == 503
    assert failing.add(name="new")["id"] == "new"
    assert failing.http.get("/").status_code == 200
    ready = failing.http.get("/readyz")
    assert ready.status_code == 200
    assert [one["ok"] for one in ready.json()["checks"].values()] == [False, True]
    failing.apis["south"].close()
    assert failing.http.get("/v1/streams").status_code == 503
    assert failing.http.get("/readyz").status_code == 503
    assert failing.http.get("/healthz").status_code == 200


def test_a_cell_whose_redis_is_away_is_one_that_fails(failing: Cells) -> None:
    failing.apis["north"].add(name="gate")
    failing.apis["south"].add(name="yard")
    failing.streams()
    failing.redis["north"].kill()
    assert {name: view["shown"]["state"] for name, view in failing.streams().items()} == {
        "gate": "failed",
        "yard": "starting",
    }


def test_events_of_all_cells_come_newest_first_and_none_is_missed_between_pages(cells: Cells) -> None:
    for name, cell in (("gate", "north"), ("yard", "south")):
        _added(cells, name, cell)
        teller = Teller(cells.redis[cell].url, name)
        for number in range(5):
            teller.tell(f"{name}-{number}")
    seen: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = cells.http.get("/v1/events", params=query).json()
        seen += [event["id"] for event in page["events"]]
        if page["next"] is None:
            break
        query["until"] = page["next"]
    assert sorted(seen) == sorted(f"{name}-{number}" for name in ("gate", "yard") for number in range(5))


def test_the_bill_is_that_of_all_cells(cells: Cells) -> None:
    for name, cell, saved in (("gate", "north", 2.0), ("yard", "south", None)):
        writer = _added(cells, name, cell)
        energy = {"nvml": Figures(10, 3.6e6, None if saved is None else saved * 3.6e6).to_dict()}
        writer.log.append(writer.fence, 0, ["{}"], {"day": "2026-12-01", "day_energy": energy})
    cells.apis["south"].add(name="roof")
    bill = cells.http.get("/v1/bill").json()
    assert sorted(line["stream"] for line in bill["streams"]) == ["gate", "yard"]
    (total,), (day,) = bill["total"], bill["days"]
    assert (total["frames"], total["kwh"], total["stream"], total["method"]) == (20, 2.0, None, "nvml")
    # What one has saved is not known, so what both have is not.
    assert (day["day"], day["saved_kwh"]) == ("2026-12-01", None)
    assert bill["unmetered"] == ["roof"]
    table = [line.split(",")[:2] for line in cells.http.get("/v1/bill.csv").text.splitlines()]
    assert table == [["day", "stream"], ["2026-12-01", "gate"], ["2026-12-01", "yard"]]


@pytest.fixture
def tokens(tmp_path: Path) -> tuple[Path, Callable[[str], dict[str, str]]]:
    path = tmp_path / "tokens"
    made = {"reader": add_token(path, "reader", "read"), "manager": add_token(path, "manager", "manage")}
    return path, lambda name: {"Authorization": f"Bearer {made[name]}"}


def test_tokens_are_asked_for_here_and_handed_on(
    tokens: tuple[Path, Callable[[str], dict[str, str]]],
) -> None:
    path, login = tokens
    cells = Cells(path)
    try:
        assert cells.http.get("/v1/streams").status_code == 401
        assert cells.http.get("/readyz").status_code == 200
        stream = {"source": "sample:bikes", "name": "gate"}
        assert cells.http.post("/v1/streams", json=stream, headers=login("reader")).status_code == 403
        assert cells.http.post("/v1/streams", json=stream, headers=login("manager")).status_code == 201
        assert cells.http.get("/v1/streams/gate", headers=login("reader")).status_code == 200
        token = login("reader")["Authorization"].removeprefix("Bearer ")
        query = {"token": token, "follow": "false"}
        assert cells.http.get("/v1/streams/gate/results", params=query).status_code == 200
        assert cells.http.get("/v1/streams/gate", params={"token": token}).status_code == 401
    finally:
        cells.close()


def test_a_cell_that_knows_other_tokens_is_one_that_fails(
    tokens: tuple[Path, Callable[[str], dict[str, str]]], tmp_path: Path
) -> None:
    path, login = tokens
    other = tmp_path / "other"
    add_token(other, "reader", "read")
    cells = Cells(path, south=other)
    try:
        listed = cells.http.get("/v1/streams", headers=login("reader")).json()
        assert {name: cell["ok"] for name, cell in listed["cells"].items()} == {"north": True, "south": False}
        assert "bearer token" in listed["cells"]["south"]["reason"]
        assert cells.http.get("/metrics").status_code == 401
        assert _metrics(cells, **login("reader"))["vwt_cell_up"] == {("north",): 1, ("south",): 0}
    finally:
        cells.close()


def test_without_tokens_a_page_of_another_site_may_not_use_it(cells: Cells) -> None:
    evil = {"Origin": "http://evil.example"}
    assert cells.http.post("/v1/streams", json={"source": "sample:bikes"}, headers=evil).status_code == 403
    assert cells.http.get("/v1/streams", headers={"Host": "evil.example"}).status_code == 403
    own = {"Origin": cells.url}
    assert cells.http.post("/v1/streams", json={"source": "sample:bikes"}, headers=own).status_code == 201
    assert cells.http.patch("/v1/streams/bikes", json={"paused": True}, headers=own).status_code == 200


def _added(cells: Cells, name: str, cell: str) -> Writer:
    cells.apis[cell].add(name=name)
    return Writer(cells.redis[cell].url, name)


def test_an_address_where_something_else_answers_is_a_cell_that_fails(cells: Cells) -> None:
    app = FastAPI()

    @app.get("/{path:path}")
    async def hello() -> PlainTextResponse:
        return PlainTextResponse("hello")

    other = Listener(app, "127.0.0.1", 0, 10, 1)
    known = [
        Cell("other", f"http://127.0.0.1:{other.port}"),
        Cell("north", str(cells.apis["north"].http.base_url)),
    ]
    listener = Listener(build_directory(known, None, GatewaySettings()), "127.0.0.1", 0, 100, 1)
    try:
        cells.apis["north"].add(name="gate")
        found = httpx.get(f"http://127.0.0.1:{listener.port}/v1/streams").json()
        assert [view["id"] for view in found["streams"]] == ["gate"]
        assert "is not vwt" in found["cells"]["other"]["reason"]
        assert 'vwt_cell_up{cell="other"} 0.0' in httpx.get(f"http://127.0.0.1:{listener.port}/metrics").text
        assert httpx.get(f"http://127.0.0.1:{listener.port}/v1/streams/gate").json()["id"] == "gate"
    finally:
        listener.close()
        other.close()
