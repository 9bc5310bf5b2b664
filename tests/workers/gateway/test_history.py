"""What clients are told is what OpenAPI says, and what is kept comes as pages of JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter
from websockets.sync.client import connect

from pipeline.boxes import Box
from pipeline.frame import FrameTimes
from pipeline.guard.bounds import Interval
from pipeline.guard.stream_fidelity import StreamFidelity
from pipeline.results import Audit, Energy, FrameResult, Label, Prediction, Region
from tests.workers.gateway.serving import Api, Writer
from workers.gateway.messages import History, Message, ResultView

_SOME = Interval(0.0, 0.2, 0.1, 3)
_ALL = ("missed", "missed_hour", "error", "error_hour", "agreement")
AUDITED = StreamFidelity(audits=3, target=0.98, share=0.1, **dict.fromkeys(_ALL, _SOME))


def result(number: int, prediction: Prediction | None = None, **more: Any) -> FrameResult:
    given: dict[str, Any] = {
        "stream": "bikes",
        "frame": number,
        "times": FrameTimes(pts_s=number / 10),
        "model": "null",
        "tokenizer": "full",
        "tokens_full": None,
        "tokens_kept": None,
        "prediction": prediction or Prediction("none"),
        **dict.fromkeys(("queue_ms", "infer_ms", "total_ms"), 1.0),
    }
    return FrameResult(**given | more)


def write(writer: Writer, *results: FrameResult) -> None:
    writer.log.append(writer.fence, results[0].frame, [one.to_json() for one in results], {})


def pages(api: Api, **query: Any) -> list[list[int]]:
    found, after = [], 0
    while after is not None:
        answer = api.http.get("/v1/streams/bikes/history", params={**query, "after": after})
        assert answer.status_code == 200, answer.text
        page = History.model_validate(answer.json())
        found.append([one.frame for one in page.results])
        after = page.next
    return found


@pytest.mark.parametrize(
    "one",
    [
        result(0, Prediction("labels", labels=[Label("a", 0.5)], embedding=[0.1])),
        result(
            1,
            Prediction("regions", regions=[Region(0, 0, 1, 1, 0.5)]),
            times=FrameTimes(pts_s=None, captured_at=5.0),
        ),
        result(
            4,
            Prediction(
                "boxes",
                boxes=[Box(0, 0, 0.5, 1, "person", 0.9), Box(0, 0, 1, 1, "bus", 0.7, id="3")],
                embedding=[0.1],
            ),
        ),
        result(2, Prediction("embedding", embedding=[0.1]), energy=Energy(reason="no meter")),
        result(3, fidelity=Audit(cosine=0.9, agreement=None, change=None, cost=0.1, stream=AUDITED)),
    ],
)
def test_every_result_is_as_it_is_described(one: FrameResult) -> None:
    told = ResultView.model_validate_json(one.to_json(), strict=True)
    assert told.model_dump(exclude_unset=True) == one.to_dict()


def test_what_is_kept_comes_once_in_order_in_pages(api: Api, writer: Writer) -> None:
    assert pages(api) == [[]]
    write(writer, *(result(number) for number in range(7)))
    assert pages(api, limit=3) == [[0, 1, 2], [3, 4, 5], [6]]
    assert pages(api, limit=1000) == [list(range(7))]


def test_a_time_is_that_of_the_clip_or_of_the_clock(api: Api, writer: Writer) -> None:
    write(writer, *(result(number) for number in range(10)))
    assert pages(api, since=0.25, until=0.6) == [[3, 4, 5]]
    write(writer, *(result(n, times=FrameTimes(pts_s=n / 10, captured_at=1000.0 + n)) for n in range(10, 20)))
    assert pages(api, since=1012, limit=3) == [[12, 13, 14], [15, 16, 17], [18, 19]]
    assert pages(api, since=5000) == [[]]


def test_messages_over_either_way_are_as_they_are_described(api: Api, writer: Writer) -> None:
    messages: TypeAdapter[Any] = TypeAdapter(Message)
    write(writer, result(0), result(1))
    writer.log.settle(
        writer.fence, [json.dumps({"frame": 0, "energy": Energy(1.0, settled=True).to_dict()})], {}
    )
    writer.state("running")
    url = f"ws://127.0.0.1:{api.port}/v1/streams/bikes/ws?after=0"
    with connect(url) as socket:
        over_socket = [messages.validate_json(socket.recv(timeout=20)) for _ in range(4)]
    with api.results("bikes", after="0", follow="false") as events:
        over_http = [
            messages.validate_python({"event": one.name, "id": one.id, "data": one.data}) for one in events
        ]
    assert [one.event for one in over_socket] == ["prediction", "prediction", "energy", "state"]
    assert over_http[:4] == over_socket
    described = api.http.get("/openapi.json").json()
    said = described["paths"]["/v1/streams/{stream}/results"]["get"]["responses"]["200"]
    assert "/v1/streams/{stream}/ws" in said["description"]
    assert len(said["content"]["text/event-stream"]["schema"]["oneOf"]) == 4
    over = described["paths"]["/v1/streams/{stream}/ws"]["get"]["responses"]["101"]["content"]
    assert len(over["application/json"]["schema"]["oneOf"]) == 4
    assert {"ResultView", "LateEnergy", "StateChange", "GapMessage", "History"} <= set(
        described["components"]["schemas"]
    )
