from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from pipeline.errors import ModelError, ServiceError
from tests.workers.gateway.serving import Api
from vocab.errors import VocabularyError


def problem(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == answer.status_code
    assert {"type", "title", "detail", "instance"} <= body.keys()
    return body


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/streams/none", 404),
        ("PATCH", "/v1/streams/none", 404),
        ("GET", "/v1/streams/none/results", 404),
        ("GET", "/v1/streams/none/preview.jpg", 404),
        ("PUT", "/v1/streams", 405),
    ],
)
def test_what_is_not_there_is_a_problem(api: Api, method: str, path: str, status: int) -> None:
    answer = api.http.request(method, path, json={"paused": True} if method == "PATCH" else None)
    assert answer.status_code == status
    assert problem(answer)["instance"] == path


def test_fields_that_cannot_be_right_are_listed(api: Api) -> None:
    asked = {"source": "sample:bikes", "name": "Not A Name", "threshold": 9, "colour": "red"}
    body = problem(api.http.post("/v1/streams", json=asked))
    assert body["status"] == 422
    assert {item["field"] for item in body["errors"]} == {"body.name", "body.threshold", "body.colour"}


@pytest.mark.parametrize(
    "source", ["sample:none", "ftp://8.8.8.8/", "/etc/passwd", "rtsp://169.254.169.254/"]
)
def test_a_source_that_may_not_be_read_is_refused_with_the_reason(api: Api, source: str) -> None:
    body = problem(api.http.post("/v1/streams", json={"source": source}))
    assert (body["status"], body["type"]) == (422, "urn:vwt:problem:refused")
    assert api.http.get("/v1/streams").json()["streams"] == []


@pytest.mark.parametrize("after", ["x", "-1", "1.2", "9" * 30])
def test_a_cursor_that_is_none_is_refused(api: Api, after: str) -> None:
    api.add()
    body = problem(api.http.get("/v1/streams/bikes/results", params={"after": after}))
    assert (body["status"], body["errors"][0]["field"]) == (422, "after")


def test_a_body_beyond_the_limit_is_refused_however_it_is_sent(serve: Callable[..., Api]) -> None:
    api = serve(gateway={"max_body_bytes": 2000})
    long = b'{"source": "sample:bikes", "labels": {"a": "' + b"x" * 3000 + b'"}}'
    head = {"content-type": "application/json"}
    assert problem(api.http.post("/v1/streams", content=long, headers=head))["status"] == 413
    pieces = (long[i : i + 500] for i in range(0, len(long), 500))
    assert problem(api.http.post("/v1/streams", content=pieces, headers=head))["status"] == 413


def test_errors_of_inference_are_problems(api: Api) -> None:
    api.edge.error = ModelError("there is no model 'x'; `vwt models` lists them")
    assert problem(post_pixel(api))["status"] == 422
    api.edge.error = ServiceError("Inference cannot be reached")
    answer = post_pixel(api)
    assert (problem(answer)["status"], answer.headers["Retry-After"]) == (503, "1")
    api.edge.error = VocabularyError("vocabulary version 3 is damaged")
    assert problem(post_pixel(api))["status"] == 503
    api.edge.error = RuntimeError("secret inner thing")
    body = problem(post_pixel(api))
    assert body["status"] == 500
    assert "secret" not in str(body)


def test_openapi_names_problems_and_examples_and_the_docs_load_nothing_from_elsewhere(api: Api) -> None:
    schema = api.http.get("/openapi.json").json()
    post = schema["paths"]["/v1/streams"]["post"]
    assert list(post["responses"]["409"]["content"]) == ["application/problem+json"]
    assert list(post["responses"]["422"]["content"]) == ["application/problem+json"]
    assert post["requestBody"]["content"]["application/json"]["examples"]
    page = api.http.get("/docs").text
    assert "https://" not in page
    assert "http://" not in page
    assert api.http.get("/docs/static/swagger-ui-bundle.js").status_code == 200
    assert api.http.get("/docs/static/swagger-ui.css").status_code == 200


def post_pixel(api: Api) -> httpx.Response:
    # The smallest BMP: one white pixel.
    pixel = bytes.fromhex("424d3a0000000000000036000000280000000100000001000000010018000000000004000000")
    return api.http.post("/v1/frames", content=pixel + bytes(16) + b"\xff\xff\xff\x00")
