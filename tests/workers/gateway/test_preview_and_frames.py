from __future__ import annotations

import io
import threading
from base64 import b64encode
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from pipeline.defaults import DEFAULT_MODEL
from tests.vocab.servers import eventually
from tests.workers.gateway.serving import Api, Writer
from workers.contract.keys import StreamKeys


def picture(kind: str = "JPEG", size: tuple[int, int] = (8, 8)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size).save(data, kind)
    return data.getvalue()


def draw_when_watched(writer: Writer) -> threading.Thread:
    """Draws one picture once somebody looks, as Inference does."""

    def draw() -> None:
        eventually(lambda: writer.client.exists(writer.keys.watched))
        writer.client.hset(writer.keys.preview, mapping={"frame": 7, "jpeg": b"mapped", "plain": b"plain"})

    thread = threading.Thread(target=draw)
    thread.start()
    return thread


@pytest.mark.parametrize(("query", "expected"), [("", b"mapped"), ("?map=false", b"plain")])
def test_a_picture_is_drawn_for_who_looks(api: Api, writer: Writer, query: str, expected: bytes) -> None:
    drawing = draw_when_watched(writer)
    answer = api.http.get(f"/v1/streams/bikes/preview.jpg{query}")
    drawing.join()
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", expected)
    assert 0 < writer.client.ttl(writer.keys.watched) <= 10


@pytest.mark.parametrize("kind", ["jpg", "mjpeg"])
def test_no_picture_in_time_is_a_problem(api: Api, writer: Writer, kind: str) -> None:
    answer = api.http.get(f"/v1/streams/{writer.stream}/preview.{kind}")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:vwt:problem:no-picture")


def test_pictures_come_as_they_are_drawn_until_the_stream_is_removed(api: Api, writer: Writer) -> None:
    drawing = draw_when_watched(writer)
    with api.http.stream("GET", "/v1/streams/bikes/preview.mjpeg") as answer:
        assert answer.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
        parts = answer.iter_raw()
        assert b"mapped" in next(parts)
        drawing.join()
        writer.client.hset(writer.keys.preview, mapping={"frame": 8, "jpeg": b"second"})
        assert b"second" in next(parts)
        api.http.delete("/v1/streams/bikes")
        assert list(parts) == []


def test_the_newest_pictures_of_many_streams_come_at_once(api: Api, writer: Writer) -> None:
    streams = [("stream", "bikes"), ("stream", "none")]
    answer = api.http.get("/v1/previews", params=streams)
    assert (answer.status_code, answer.json()) == (200, {"pictures": {"bikes": None, "none": None}})
    # Whoever looks has pictures drawn; of streams that are there.
    assert 0 < writer.client.ttl(writer.keys.watched) <= 10
    assert not writer.client.exists(StreamKeys("none").watched)
    writer.client.hset(writer.keys.preview, mapping={"frame": 7, "jpeg": b"\xffmapped", "plain": b"plain"})
    for query, jpeg in (("true", b"\xffmapped"), ("false", b"plain")):
        found = api.http.get("/v1/previews", params=[*streams, ("map", query)]).json()["pictures"]
        whole = {"frame": 7, "jpeg": b64encode(jpeg).decode(), "part": [0, 0, 1, 1]}
        assert found == {"bikes": whole, "none": None}
    writer.client.hset(writer.keys.preview, "part", "[0.25, 0, 0.75, 1]")
    cropped = api.http.get("/v1/previews", params=streams).json()["pictures"]["bikes"]
    assert cropped["part"] == [0.25, 0, 0.75, 1]


@pytest.mark.parametrize("streams", [[], ["bikes"] * 65])
def test_pictures_of_no_stream_or_too_many_are_refused(api: Api, streams: list[str]) -> None:
    answer = api.http.get("/v1/previews", params={"stream": streams})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_an_image_is_predicted_from_the_body_or_from_a_form(api: Api, kind: str) -> None:
    data = picture(kind)
    head = {"content-type": f"image/{kind.lower()}"}
    query = {"tokenizer": "intra", "drop": 0.25}
    assert api.http.post("/v1/frames", content=data, headers=head, params=query).status_code == 200
    assert api.http.post("/v1/frames", files={"image": data}).json()["tokenizer"] == "full"
    (size, asked), (again, _) = api.edge.asked
    assert (size, again) == (len(data), len(data))
    assert (asked.model, asked.tokenizer, asked.options) == (DEFAULT_MODEL, "intra", {"drop": 0.25})


def test_an_image_is_fitted_as_asked_or_as_the_service_does(serve: Callable[..., Api]) -> None:
    api = serve(fit="letterbox", size="448")
    for query in ({}, {"fit": "crop"}, {"size": 224}, {"model": "resnet18"}):
        assert api.http.post("/v1/frames", content=picture(), params=query).status_code == 200
    fits = [(asked.fit, asked.size) for _, asked in api.edge.asked]
    assert fits == [("letterbox", "448"), ("crop", "448"), ("letterbox", "224"), (None, None)]
    assert api.http.post("/v1/frames", content=picture(), params={"size": "big"}).status_code == 422


def test_what_is_no_image_is_refused(api: Api) -> None:
    for head in ({}, {"content-type": "text/plain"}, {"content-type": "image/png"}):
        assert api.http.post("/v1/frames", content=b"no image", headers=head).status_code == 415
    assert api.http.post("/v1/frames", files={"image": b"no image"}).status_code == 415
    assert api.http.post("/v1/frames", files={"other": picture()}).status_code == 422
    assert api.edge.asked == []


def test_an_image_beyond_a_limit_is_refused_before_it_is_decoded(serve: Callable[..., Api]) -> None:
    api = serve(gateway={"max_image_bytes": 4096, "max_image_pixels": 100})
    assert api.http.post("/v1/frames", content=picture(size=(11, 10))).status_code == 413
    assert api.http.post("/v1/frames", content=picture() + bytes(5000)).status_code == 413
    small = io.BytesIO()
    Image.new("RGB", (2, 2)).save(small, "BMP")
    gigantic = bytearray(small.getvalue())
    gigantic[18:26] = (50_000).to_bytes(4, "little") * 2
    assert api.http.post("/v1/frames", content=bytes(gigantic)).status_code == 413
    assert api.http.post("/v1/frames", content=picture(size=(10, 10))).status_code == 200


def test_inter_needs_to_know_whose_words(api: Api) -> None:
    refused = api.http.post("/v1/frames", content=picture(), params={"tokenizer": "inter"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:vwt:problem:no-scope")
    for other in ({"scope": "yard"}, {"threshold": 0.1}, {"tokenizer": "intra", "exact": True}):
        refused = api.http.post("/v1/frames", content=picture(), params=other)
        assert (refused.status_code, "leave it out" in refused.json()["detail"]) == (422, True)
    query = {"tokenizer": "inter", "scope": "yard"}
    assert api.http.post("/v1/frames", content=picture(), params=query).status_code == 200
    assert api.edge.asked[0][1].scope == "yard"


def test_a_picture_of_many_bytes_is_taken_whole(api: Api) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    data = io.BytesIO()
    Image.fromarray(noise).save(data, "PNG")
    assert len(data.getvalue()) > 2**18
    assert api.http.post("/v1/frames", content=data.getvalue()).status_code == 200
    assert api.edge.asked[-1][0] == len(data.getvalue())
