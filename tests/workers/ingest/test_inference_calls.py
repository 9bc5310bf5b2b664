from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ServiceError
from tests.workers.ingest.inference import Answer
from workers.contract.messages import BatchDone, FrameBatch, TokenSettings
from workers.direct.door import Door
from workers.direct.wire import meeting_place
from workers.ingest.inference_calls import InferenceCalls

PATIENCE_S = 60
SETTINGS = TokenSettings("null", "full", {}, "scope")


def batch(stream: str) -> FrameBatch:
    return FrameBatch(stream, 1, 0, np.zeros((1, 4, 4, 3), np.uint8), [], SETTINGS)


class Service:
    """Serve, as far as a handle shows it, and one replica with a door."""

    def __init__(self, replica: str) -> None:
        self.replica = replica
        self.led: list[str] = []
        self.straight: list[str] = []
        self.failure: Exception | None = None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._open(), self.loop).result(PATIENCE_S)

    async def _open(self) -> None:
        self.door = Door(meeting_place(self.replica), {"infer": self._infer})

    async def _infer(self, batch: FrameBatch) -> BatchDone:
        self.straight.append(batch.stream)
        if self.failure is not None:
            raise self.failure
        return self._done()

    def by_serve(self, batch: FrameBatch) -> Answer:
        self.led.append(batch.stream)
        future: Future[BatchDone] = Future()
        future.set_result(self._done())
        return Answer(future)

    def _done(self) -> BatchDone:
        return BatchDone(next_frame=1, infer_ms=1, latency_ms=1, replica=self.replica)


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Service]:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    one = Service("there")
    yield one
    one.door.close()
    one.loop.call_soon_threadsafe(one.loop.stop)


def send(calls: InferenceCalls, stream: str) -> BatchDone:
    done: BatchDone = calls.infer(stream, batch(stream)).result(timeout_s=PATIENCE_S)
    return done


def test_a_stream_goes_straight_to_the_replica_that_serve_led_it_to(service: Service) -> None:
    calls = InferenceCalls(service.by_serve)
    for stream in ("a", "a", "b", "a", "b"):
        assert send(calls, stream).replica == "there"
    calls.close()
    assert (service.led, service.straight) == (["a", "b"], ["a", "a", "b"])


def test_what_fails_goes_by_serve_the_next_time(service: Service) -> None:
    calls = InferenceCalls(service.by_serve)
    send(calls, "a")
    service.failure = ServiceError("this replica stops")
    with pytest.raises(ServiceError, match="this replica stops"):
        send(calls, "a")
    assert send(calls, "a").replica == "there"
    calls.close()
    assert (service.led, service.straight) == (["a", "a"], ["a"])


def test_a_replica_that_is_gone_loses_no_frame(service: Service) -> None:
    calls = InferenceCalls(service.by_serve)
    send(calls, "a")
    send(calls, "a")
    service.door.close()
    # Whether the end is known here already is chance.
    with suppress(ServiceError):
        send(calls, "a")
    assert send(calls, "a").replica == "there"
    calls.close()
    assert service.straight == ["a"]


def test_serve_is_asked_again_now_and_then(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.ingest.inference_calls._ASK_EVERY_S", 0.0)
    calls = InferenceCalls(service.by_serve)
    for _ in range(3):
        send(calls, "a")
    calls.close()
    assert (service.led, service.straight) == (["a"] * 3, [])


def test_a_replica_on_another_machine_is_called_by_serve(service: Service) -> None:
    service.replica = "far away"
    calls = InferenceCalls(service.by_serve)
    for _ in range(3):
        send(calls, "a")
    calls.close()
    assert (service.led, service.straight) == (["a"] * 3, [])
