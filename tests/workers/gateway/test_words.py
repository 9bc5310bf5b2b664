from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from tests.workers.gateway.words import PATCH, WORDS, publish
from workers.access.bearer_tokens import add_token

SCOPE = "bikes/dinov2_vits14_saliency"


def test_the_words_of_a_stream_are_told_and_drawn_as_the_command_does(api: Api, redis: Server) -> None:
    api.add()
    version = publish(redis.url, SCOPE)
    told = api.http.get("/v1/streams/bikes/words").json()
    assert (told["scope"], told["version"], told["words"], told["patch_size"]) == (
        SCOPE,
        version,
        WORDS,
        PATCH,
    )
    assert [(record["version"], record["matched"]) for record in told["coverage"]] == [(version, 0.75)]
    assert "redis" not in told
    first = api.http.get("/v1/streams/bikes/words.png")
    assert first.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(first.content)) as picture:
        assert picture.width > picture.height > PATCH
    assert api.http.get("/v1/streams/bikes/words.png").content == first.content
    publish(redis.url, SCOPE)
    assert api.http.get("/v1/streams/bikes/words.png").content != first.content


@pytest.mark.parametrize("path", ["words", "words.png"])
def test_a_stream_without_words_says_why(api: Api, path: str) -> None:
    api.add(name="young")
    api.add(name="plain", tokenizer="full")
    for stream, reason in (("young", "has no words yet"), ("plain", "its tokenizer is full")):
        answer = api.http.get(f"/v1/streams/{stream}/{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json()["type"] == "urn:vwt:problem:no-words"
        assert reason in answer.json()["detail"]
    assert api.http.get(f"/v1/streams/nobody/{path}").json()["type"] == "urn:vwt:problem:no-stream"


def test_the_picture_may_carry_its_token_in_the_address(serve: Callable[..., Api], tmp_path: Path) -> None:
    token = add_token(tmp_path / "tokens", "guest", "read")
    http = serve(access={"token_file": tmp_path / "tokens"}).http
    assert http.get("/v1/streams/bikes/words.png").status_code == 401
    assert http.get("/v1/streams/bikes/words.png", params={"token": token}).status_code == 404
