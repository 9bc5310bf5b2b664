from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import UsageError
from tests.workers.direct.replica import Replica
from workers.direct.door import Door
from workers.direct.visitor import GoneError, Visitor, visitor_at

Told = Callable[[Visitor, Replica, Door], Coroutine[Any, Any, None]]


def visited(path: Path, told: Told) -> None:
    async def run() -> None:
        replica = Replica()
        door = Door(path, {name: getattr(replica, name) for name in ("echo", "held", "refuse")})
        await asyncio.sleep(0)
        visitor = await visitor_at(path)
        await told(visitor, replica, door)
        visitor.receiver.leave()
        door.close()

    asyncio.run(asyncio.wait_for(run(), 60))


def test_calls_are_answered_each_when_it_is_done(tmp_path: Path) -> None:
    async def told(visitor: Visitor, replica: Replica, _: Door) -> None:
        slow = asyncio.ensure_future(visitor.call("held"))
        assert await asyncio.gather(*(visitor.call("echo", n) for n in range(50))) == list(range(50))
        assert visitor.under_way == 1
        replica.free.set()
        assert await slow == "at last"

    visited(tmp_path / "door", told)


def test_an_error_is_raised_as_it_was_there(tmp_path: Path) -> None:
    async def told(visitor: Visitor, *_: Any) -> None:
        with pytest.raises(UsageError, match="not so"):
            await visitor.call("refuse", UsageError("not so"))

    visited(tmp_path / "door", told)


def test_who_leaves_is_not_waited_for(tmp_path: Path) -> None:
    async def told(visitor: Visitor, replica: Replica, _: Door) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(visitor.call("held"), 0.01)
        assert visitor.under_way == 0
        replica.free.set()
        assert await visitor.call("echo", 1) == 1

    visited(tmp_path / "door", told)


def test_a_replica_that_goes_is_told_from_one_that_refuses(tmp_path: Path) -> None:
    async def told(visitor: Visitor, _: Replica, door: Door) -> None:
        slow = asyncio.ensure_future(visitor.call("held"))
        assert await visitor.call("echo", 1) == 1
        door.close()
        with pytest.raises(GoneError):
            await slow
        with pytest.raises(GoneError):
            await visitor.call("echo", 1)
        assert not visitor.open

    visited(tmp_path / "door", told)
