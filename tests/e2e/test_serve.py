"""`vwt serve` as a user has it: a process, its Ray, its Redis, and clients over HTTP."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.command import refused, start, vwt
from tests.e2e.service import Service
from tests.vocab.servers import eventually, unused_port
from vocab.embedded import EmbeddedRedis


@pytest.fixture
def serve() -> Iterator[type[Service]]:
    """Starts services, and leaves none."""
    running: list[Service] = []

    def begin(*arguments: str | Path) -> Service:
        running.append(Service(*arguments))
        return running[-1]

    yield begin
    for service in running:
        service.close()


@pytest.mark.timeout(600)
def test_results_come_over_http_go_on_after_a_restart_and_sigterm_ends_it_in_time(serve, tmp_path):
    first = serve("sample:bikes", "--data-folder", tmp_path / "data")
    results = first.results("bikes", 3)
    assert [result["frame"] for _, result in results] == [0, 1, 2]
    assert results[0][1]["prediction"]["kind"] == "regions"
    bare = httpx.post(f"{first.url}/v1/streams", json={"source": "sample:bunny", "model": "null"})
    assert bare.status_code == 201
    assert {result["tokenizer"] for _, result in first.results("bunny", 3)} == {"full"}
    assert httpx.get(f"{first.url}/v1/streams/bunny").json()["settings"]["tokenizer"] == "full"
    assert httpx.delete(f"{first.url}/v1/streams/bunny").status_code == 204
    teach_zone(first, "bikes")
    teach_name(first, "bikes")
    seen = list(results)

    def is_told() -> bool:
        seen[:] = first.results("bikes", 5, after=seen[-1][0])
        return "lane" in seen[-1][1].get("zones", {}) and "changed" in seen[-1][1]

    eventually(is_told, within_s=60)
    assert first.end(signal.SIGTERM) == 0
    assert "Traceback" not in first.said
    assert first.process.stdout.read() == ""

    second = serve("sample:bikes", "--data-folder", tmp_path / "data")
    assert [one["id"] for one in httpx.get(f"{second.url}/v1/streams").json()["streams"]] == ["bikes"]
    frames = [result["frame"] for _, result in second.results("bikes", 40, after=results[-1][0])]
    assert frames == list(range(3, 43))
    assert second.end(signal.SIGINT) == 0


def teach_zone(service: Service, stream: str) -> None:
    """Draws a zone and says of the next frames in which state it is, as the page does."""
    lane = f"{service.url}/v1/streams/{stream}/zones/lane"
    drawn = {"polygon": [[0.2, 0.2], [0.8, 0.2], [0.5, 0.9]], "states": ["busy", "free"]}
    assert httpx.put(lane, json=drawn).status_code == 200
    for state in ("busy", "busy", "free", "free"):
        answer = httpx.post(f"{lane}/examples", json={"state": state}, timeout=60)
        assert answer.status_code == 200, answer.text


def teach_name(service: Service, stream: str) -> None:
    """Draws boxes in the next frames, as whoever has no picture may."""
    classes = f"{service.url}/v1/streams/{stream}/classes"
    for x in (0.1, 0.5):
        drawn = {"name": "bike", "box": [x, 0.2, 0.3, 0.6]}
        answer = httpx.post(f"{classes}/examples", json=drawn, timeout=60)
        assert answer.status_code == 200, answer.text
    assert answer.json()["learned"]
    gone = httpx.put(f"{classes}/frames/1000000", timeout=60)
    assert (gone.status_code, "no longer at hand" in gone.json()["detail"]) == (422, True)


@pytest.mark.timeout(300)
def test_it_tells_how_far_it_is_and_once_it_is_ready_its_streams_are_there(tmp_path):
    port = unused_port()
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    where = ("--port", str(port), "--data-folder", tmp_path)
    process = start("serve", "sample:bikes", "--model", "null", *where, **pipes)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: is_ready(url), within_s=240)
        assert [one["id"] for one in httpx.get(f"{url}/v1/streams").json()["streams"]] == ["bikes"]
        said = "".join(iter(process.stderr.readline, f"  curl -N {url}/v1/streams/bikes/results\n"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    # Without a terminal, too: the first word comes before the half minute that it takes.
    assert said.index("starting Ray") < said.index("starting the service") < said.index("page http")
    assert f"vwt streams tail bikes --url {url}\n" in said


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_it_listens_to_others_only_with_tokens():
    said = refused("serve", "--host", "0.0.0.0", code=2)

    assert "give --token-file FILE" in said


def test_a_port_that_is_taken_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        assert "address already in use" in refused("serve", "--port", port, code=2)


def test_a_redis_that_does_not_answer_ends_it_with_5(unused_port):
    url = f"redis://user:hunter2@127.0.0.1:{unused_port}"

    assert "hunter2" not in refused("serve", "--port", "0", "--redis", url, code=5)


def test_a_ray_that_does_not_answer_ends_it_with_5(unused_port, tmp_path):
    address = f"127.0.0.1:{unused_port}"
    with EmbeddedRedis(folder=tmp_path) as server:
        arguments = ("--redis", server.url, "--ray-address", address)
        assert f"cannot join Ray at {address}" in refused("serve", "--port", "0", *arguments, code=5)


def test_a_cluster_needs_a_redis_that_its_machines_share():
    assert "give --redis URL" in refused("serve", "--ray-address", "127.0.0.1:1", code=2)


def test_the_settings_in_effect_are_printed_without_credentials(tmp_path):
    config = tmp_path / "vwt.toml"
    config.write_text('redis = "redis://user:hunter2@host"\nport = 1\n')

    done = vwt("serve", "--config", config, "--port", "2", "--print-config")

    assert done.returncode == 0
    assert "port: 2\n" in done.stdout
    assert "redis://***@host" in done.stdout
    assert "hunter2" not in done.stdout
