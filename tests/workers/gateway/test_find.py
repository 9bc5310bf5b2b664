from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.history import Moment, Things
from pipeline.results import Prediction
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from tests.workers.gateway.test_preview_and_frames import picture
from workers.contract.fenced import FencedError
from workers.contract.history_log import HistoryLog

MODEL = "dinov2_vits14_saliency"
AXES = np.eye(4)


def seen(vector: np.ndarray, part: np.ndarray | None = None) -> Prediction:
    cells = None if part is None else np.tile(part, (4, 4, 1))
    return Prediction("regions", embedding=vector.tolist(), cells=cells)


def remember(
    writer: Writer,
    frame: int,
    prediction: Prediction,
    model: str = MODEL,
    most: int = 2**20,
    thing: np.ndarray | None = None,
) -> None:
    """A moment every ten seconds, as Inference writes it."""
    moment = Moment(frame, frame * 10.0, None)
    things = None if thing is None else Things(np.array([[0.1, 0.2, 0.3, 0.4]], np.float32), thing[None])
    HistoryLog(writer.client, "bikes").append(
        writer.fence, model, moment, prediction, b"jpeg %d" % frame, most, things
    )


@pytest.fixture
def history(api: Api, redis: Server) -> Writer:
    api.add(name="bikes", history=2**20)
    return Writer(redis.url, "bikes")


def test_the_moments_most_alike_come_first_with_their_pictures(api: Api, history: Writer) -> None:
    for frame, vector in enumerate([AXES[1], AXES[0], AXES[0] + AXES[1]]):
        remember(history, frame, seen(vector))
    answer = api.http.post("/v1/streams/bikes/find", content=picture())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["kept"] == 3
    assert [one["frame"] for one in found["moments"]] == [1, 2, 0]
    assert [one["score"] for one in found["moments"]] == pytest.approx([1, 0.7071, 0], abs=1e-3)
    assert [one["pts_s"] for one in found["moments"]] == [10.0, 20.0, 0.0]
    assert b64decode(found["moments"][0]["jpeg"]) == b"jpeg 1"


def test_the_picture_may_come_in_a_form_and_runs_as_the_stream_does(api: Api, history: Writer) -> None:
    remember(history, 0, seen(AXES[0]))
    form = {"image": ("any.png", picture("PNG"), "image/png")}
    assert len(api.http.post("/v1/streams/bikes/find", files=form).json()["moments"]) == 1
    _, settings = api.edge.asked[-1]
    assert (settings.model, settings.tokenizer) == (MODEL, "full")


def test_times_and_numbers_are_asked_for(api: Api, history: Writer) -> None:
    for frame in range(10):
        remember(history, frame, seen(AXES[0] + frame / 10 * AXES[1]))

    def frames(**query: float) -> list[int]:
        found = api.http.post("/v1/streams/bikes/find", content=picture(), params=query).json()
        return [one["frame"] for one in found["moments"]]

    assert frames(top=2) == [0, 1]
    assert frames(since=30, until=60) == [3, 4, 5]
    assert frames(apart=50) == [0, 5]


@pytest.mark.parametrize("query", ["since=nan", "until=-inf", "since=1e400", "apart=inf", "top=1e9"])
def test_what_is_no_time_and_no_number_is_refused(api: Api, history: Writer, query: str) -> None:
    remember(history, 0, seen(AXES[0]))
    answer = api.http.post(f"/v1/streams/bikes/find?{query}", content=picture())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].endswith(query.partition("=")[0])


def test_a_box_is_compared_with_parts(api: Api, history: Writer) -> None:
    remember(history, 0, seen(AXES[0], AXES[1]))
    remember(history, 1, seen(AXES[1], AXES[0]))
    for query, frame in (({}, 0), ({"box": "0,0,.5,.5"}, 1)):
        found = api.http.post("/v1/streams/bikes/find", content=picture(), params=query).json()
        assert found["moments"][0]["frame"] == frame


def test_a_moment_is_kept_once_and_only_as_many_as_there_is_room_for(api: Api, history: Writer) -> None:
    for frame in [0, 1, 1, 2, 3]:
        remember(history, frame, seen(AXES[0]), most=1000)
    found = api.http.post("/v1/streams/bikes/find", content=picture()).json()
    assert 1 < found["kept"] < 4
    assert sorted(one["frame"] for one in found["moments"]) == list(range(4))[-found["kept"] :]
    assert history.client.xlen(history.keys.pictures) == found["kept"]


def test_what_another_model_saw_is_not_compared(api: Api, history: Writer) -> None:
    remember(history, 0, seen(AXES[0]), model="another")
    assert api.http.post("/v1/streams/bikes/find", content=picture()).json() == {"kept": 0, "moments": []}


def test_without_a_history_the_answer_says_how_to_get_one(api: Api) -> None:
    api.add(name="bikes")
    answer = api.http.post("/v1/streams/bikes/find", content=picture())
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:vwt:problem:no-history")
    assert "setting history" in answer.json()["detail"]


def test_what_is_no_picture_and_what_is_too_long_is_refused(serve: Callable[..., Api]) -> None:
    api = serve(gateway={"max_image_bytes": 2000})
    api.add(name="bikes", history=2**20)
    assert api.http.post("/v1/streams/bikes/find", content=b"text").status_code == 415
    assert api.http.post("/v1/streams/bikes/find", content=b"x" * 2001).status_code == 413
    assert api.http.post("/v1/streams/nobody/find", content=picture()).status_code == 404


@pytest.mark.parametrize("history", [0, 100, 2**40])
def test_a_history_has_bounds(api: Api, history: int) -> None:
    answer = api.http.post("/v1/streams", json={"source": "sample:bikes", "history": history})
    assert answer.status_code == 422


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_the_history_goes_with_its_stream_and_with_its_setting(api: Api, history: Writer, how: str) -> None:
    remember(history, 0, seen(AXES[0]))
    assert history.client.exists(history.keys.history, history.keys.pictures) == 2
    if how == "removed":
        api.http.delete("/v1/streams/bikes")
    else:
        api.http.patch("/v1/streams/bikes", json={"history": None})
    assert history.client.exists(history.keys.history, history.keys.pictures) == 0


def test_nothing_is_written_for_a_stream_that_was_removed(api: Api, history: Writer) -> None:
    api.http.delete("/v1/streams/bikes")
    with pytest.raises(FencedError):
        remember(history, 0, seen(AXES[0]))
    assert not history.client.exists(history.keys.history)


def test_a_small_box_is_compared_with_things_where_some_were_kept(api: Api, history: Writer) -> None:
    def found() -> list[tuple[int, list[float] | None]]:
        query = {"box": "0,0,.2,.2"}
        answer = api.http.post("/v1/streams/bikes/find", content=picture(), params=query)
        assert answer.status_code == 200, answer.text
        return [(one["frame"], one["box"]) for one in answer.json()["moments"]]

    remember(history, 0, seen(AXES[1], AXES[0]))
    assert found() == [(0, None)]
    remember(history, 1, seen(AXES[1], AXES[1]), thing=np.array([0, 0, 0.6, 0.8]))
    remember(history, 2, seen(AXES[1], AXES[1]), thing=AXES[2])
    # What was kept before there were things has none, and is there for all else.
    assert found() == [(2, [0.1, 0.2, 0.3, 0.4]), (1, [0.1, 0.2, 0.3, 0.4])]
    remember(history, 3, seen(AXES[0]))
    assert api.http.post("/v1/streams/bikes/find", content=picture()).json()["kept"] == 1
    remember(history, 4, seen(AXES[1], AXES[0]))
    assert api.http.post("/v1/streams/bikes/find", content=picture()).json()["kept"] == 4


def test_a_text_finds_moments_where_the_model_has_a_text_tower(
    serve: Callable[..., Api], redis: Server
) -> None:
    api = serve(inference={"text_towers": {MODEL: "published"}})
    api.add(name="bikes", history=2**20)
    writer = Writer(redis.url, "bikes")
    for frame, vector in enumerate([AXES[0], AXES[1]]):
        remember(writer, frame, seen(vector))
    assert api.http.get("/v1/streams/bikes/find").json() == {"picture": True, "text": True}
    answer = api.http.post("/v1/streams/bikes/find", params={"text": "a red van"})
    assert [one["frame"] for one in answer.json()["moments"]] == [1, 0]
    both = api.http.post("/v1/streams/bikes/find", params={"text": "a red van"}, content=picture())
    assert both.status_code == 422
    api.edge.error = UsageError("model 'm' has neither labels nor a text tower here")
    refused = api.http.post("/v1/streams/bikes/find", params={"text": "a red van"})
    assert refused.status_code == 422
    assert "neither labels nor a text tower" in refused.json()["detail"]


@pytest.mark.usefixtures("history")
def test_a_stream_says_that_it_cannot_be_searched_by_text(api: Api) -> None:
    assert api.http.get("/v1/streams/bikes/find").json() == {"picture": True, "text": False}
    api.http.patch("/v1/streams/bikes", json={"history": None})
    assert api.http.get("/v1/streams/bikes/find").json() == {"picture": False, "text": False}
