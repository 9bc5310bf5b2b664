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
        self.replica: str | None = replica
        self.led: list[str] = []
        self.straight: list[str] = []
        self.failure: Exception | None = None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self._open(), self.loop).result(PATIENCE_S)

    async def _open(self) -> None:
        assert self.replica is not None
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
        return BatchDone(next_frame=1, infer_ms=1, latency_ms=1)

    def has(self, stream: str) -> str | None:  # noqa: ARG002 - all of them
        return self.replica


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


def test_frames_go_straight_to_the_replica_that_has_their_stream(service: Service) -> None:
    calls = InferenceCalls(service.by_serve, service.has)
    for stream in ("a", "a", "b"):
        assert send(calls, stream).next_frame == 1
    calls.close()
    assert (service.led, service.straight) == ([], ["a", "a", "b"])


@pytest.mark.parametrize("replica", [None, "far away"])
def test_where_that_is_not_known_or_on_another_machine_serve_is_called(
    service: Service, replica: str | None
) -> None:
    service.replica = replica
    calls = InferenceCalls(service.by_serve, service.has)
    for _ in range(3):
        send(calls, "a")
    calls.close()
    assert (service.led, service.straight) == (["a"] * 3, [])


def test_what_fails_goes_by_serve_the_next_time(service: Service) -> None:
    calls = InferenceCalls(service.by_serve, service.has)
    service.failure = ServiceError("this replica stops")
    with pytest.raises(ServiceError, match="this replica stops"):
        send(calls, "a")
    send(calls, "a")
    service.failure = None
    send(calls, "a")
    calls.close()
    assert (service.led, service.straight) == (["a"], ["a", "a"])


def test_a_replica_that_is_gone_loses_no_frame(service: Service) -> None:
    calls = InferenceCalls(service.by_serve, service.has)
    send(calls, "a")
    service.door.close()
    # Whether the end is known here already is chance.
    with suppress(ServiceError):
        send(calls, "a")
    assert send(calls, "a").next_frame == 1
    calls.close()
    assert (service.straight, service.led[-1]) == (["a"], "a")
