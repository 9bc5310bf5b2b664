"""The gateway's own HTTP server: on one port with its like, and gone when it is told to go."""

import asyncio
import socket
import threading

import httpx
import pytest
from fastapi import FastAPI

from pipeline.errors import ServiceError
from tests.vocab.servers import eventually
from workers.gateway.listener import Listener


def app(name: str, holding: threading.Event | None = None) -> FastAPI:
    made = FastAPI()

    @made.get("/")
    async def who() -> str:
        if holding is not None:
            holding.set()
            await asyncio.Event().wait()
        return name

    return made


@pytest.fixture
def listen():
    """Makes listeners; closes them all in the end."""
    made = []

    def make(app, port=0, most=100):
        made.append(Listener(app, "127.0.0.1", port, most, leave_s=1))
        return made[-1]

    yield make
    for listener in made:
        listener.close()


def who(listener: Listener) -> str:
    # A connection of its own each time: the system deals out connections, not requests.
    answer = httpx.get(f"http://127.0.0.1:{listener.port}/", timeout=20)
    assert answer.status_code == 200
    return str(answer.json())


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has no shared ports")
def test_replicas_share_a_port_and_one_goes_on_when_the_other_ends(listen):
    first = listen(app("first"))
    second = listen(app("second"), port=first.port)
    eventually(lambda: {who(first) for _ in range(20)} == {"first", "second"})

    first.close()

    assert not first.alive
    assert {who(second) for _ in range(20)} == {"second"}


def test_a_port_of_somebody_else_is_refused_with_what_to_do(listen):
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(ServiceError, match="choose another --port"),
    ):
        listen(app("ours"), port=other.getsockname()[1])


def test_a_request_that_does_not_end_does_not_hold_the_end_up(listen):
    holding = threading.Event()
    listener = listen(app("busy", holding))
    with socket.create_connection(("127.0.0.1", listener.port)) as one:
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert holding.wait(20)

        listener.close()

        assert not listener.alive
