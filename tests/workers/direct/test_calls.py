from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ServiceError, UsageError
from tests.workers.direct.replica import Replica
from workers.direct.calls import Line, Lines
from workers.direct.door import Door
from workers.direct.wire import COUNT, meeting_place

PATIENCE_S = 60


class Here:
    """A door in an event loop of its own thread, as a replica has it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.door, self.replica = asyncio.run_coroutine_threadsafe(self._opened(), self.loop).result(
            PATIENCE_S
        )

    async def _opened(self) -> tuple[Door, Replica]:
        replica = Replica()
        methods = {name: getattr(replica, name) for name in ("echo", "held", "refuse", "unspeakable")}
        door = Door(self.path, methods)
        await asyncio.sleep(0)
        return door, replica

    def free(self) -> None:
        self.loop.call_soon_threadsafe(self.replica.free.set)

    def leave(self) -> None:
        self.door.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE_S)
        self.loop.close()


@contextmanager
def replica_at(path: Path) -> Iterator[Here]:
    here = Here(path)
    try:
        yield here
    finally:
        here.leave()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with replica_at(tmp_path / "door") as one:
        yield one


@pytest.fixture
def line(here: Here) -> Iterator[Line]:
    one = Line(here.path)
    yield one
    one.close()


def test_arrays_of_many_megabytes_come_and_go_as_they_are(line: Line) -> None:
    images = np.random.default_rng(0).integers(0, 255, (40, 224, 224, 3), dtype=np.uint8)
    sent = {"images": images, "empty": images[:0], "few": images[:1, :2].copy()}
    back = line.call("echo", sent).result(timeout_s=PATIENCE_S)
    assert all(np.array_equal(back[name], sent[name]) for name in sent)


def test_a_slow_call_holds_up_no_other(line: Line, here: Here) -> None:
    slow = line.call("held")
    assert line.call("echo", 1).result(timeout_s=PATIENCE_S) == 1
    with pytest.raises(TimeoutError):
        slow.result(timeout_s=0)
    assert line.under_way == 1
    here.free()
    assert slow.result(timeout_s=PATIENCE_S) == "at last"


def test_calls_of_many_threads_get_their_own_answers(line: Line) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda n: line.call("echo", n).result(timeout_s=PATIENCE_S), range(400))
        assert list(answers) == list(range(400))


def test_a_call_that_fails_fails_alone_and_with_its_own_error(line: Line) -> None:
    before, failing, after = (
        line.call("echo", 1),
        line.call("refuse", UsageError("not so")),
        line.call("echo", 2),
    )
    with pytest.raises(UsageError, match="not so"):
        failing.result(timeout_s=PATIENCE_S)
    assert [one.result(timeout_s=PATIENCE_S) for one in (before, after)] == [1, 2]


def test_a_timeout_there_is_an_answer_here(line: Line) -> None:
    with pytest.raises(ServiceError, match="the store is slow"):
        line.call("refuse", TimeoutError("the store is slow")).result(timeout_s=PATIENCE_S)


def test_what_cannot_be_sent_back_is_said(line: Line) -> None:
    with pytest.raises(ServiceError, match="lock"):
        line.call("unspeakable").result(timeout_s=PATIENCE_S)
    assert line.call("echo", 1).result(timeout_s=PATIENCE_S) == 1


def test_what_is_under_way_fails_when_the_replica_goes(line: Line, here: Here) -> None:
    slow = line.call("held")
    here.door.close()
    with pytest.raises(ServiceError, match="went away"):
        slow.result(timeout_s=PATIENCE_S)
    with pytest.raises(ServiceError, match="went away"):
        line.call("echo", 1).result(timeout_s=PATIENCE_S)
    assert not line.open
    assert not here.path.exists()


def test_who_is_not_quite_in_when_the_replica_goes_is_told_too(tmp_path: Path) -> None:
    async def close_after(turns: int) -> Line:
        door = Door(tmp_path / "door", {})
        line = Line(door._path)
        # Turns in which it listens, takes the connection, and tells its end that it is made.
        for _ in range(turns):
            await asyncio.sleep(0)
        door.close()
        await asyncio.sleep(0.05)
        return line

    for turns in range(6):
        line = asyncio.run(close_after(turns))
        with pytest.raises(ServiceError, match="went away"):
            line.call("echo").result(timeout_s=PATIENCE_S)


def test_what_is_no_message_ends_its_own_connection_alone(line: Line, here: Here) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(PATIENCE_S)
        stranger.connect(str(here.path))
        stranger.sendall(COUNT.pack(2**31))
        assert stranger.recv(1) == b""
    assert line.call("echo", 1).result(timeout_s=PATIENCE_S) == 1


def test_lines_are_made_once_and_not_at_once_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    lines = Lines()
    assert lines.to("elsewhere") is None
    with replica_at(meeting_place("near")) as here:
        line = lines.to("near")
        assert line is not None
        assert lines.to("near") is line
        assert line.call("echo", 1).result(timeout_s=PATIENCE_S) == 1
        here.door.close()
        with pytest.raises(ServiceError):
            line.call("held").result(timeout_s=PATIENCE_S)
        assert lines.to("near") is None
    lines.close()


def test_what_a_killed_replica_left_goes_and_what_listens_stays(tmp_path: Path) -> None:
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    with replica_at(tmp_path / "one") as one:
        assert not left.exists()
        with replica_at(tmp_path / "two"):
            line = Line(one.path)
            assert line.call("echo", 1).result(timeout_s=PATIENCE_S) == 1
            line.close()
    assert list(tmp_path.iterdir()) == []
