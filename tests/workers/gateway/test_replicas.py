from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ServiceError
from workers.direct.door import Door
from workers.direct.wire import meeting_place
from workers.gateway.replicas import Replicas

Where = dict[str, Any]


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr("workers.gateway.replicas._ASK_EVERY_S", 0.0)


async def door_of(replica: str, free: asyncio.Event) -> Door:
    async def held() -> str:
        await free.wait()
        return replica

    door = Door(meeting_place(replica), {"held": held})
    await asyncio.sleep(0)
    return door


async def found(replicas: Replicas, enough: Callable[[], bool]) -> None:
    while not enough():
        replicas.nearest()
        await asyncio.sleep(0.001)


def run(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, 60)

    asyncio.run(bounded())


def test_the_replica_with_the_fewest_calls_is_the_next() -> None:
    async def work() -> None:
        free, names = asyncio.Event(), ["a", "b"]
        doors = [await door_of(name, free) for name in names]

        async def ask() -> Where:
            names.reverse()
            return {"replica": names[0]}

        replicas = Replicas(ask)
        assert replicas.nearest() is None
        await found(replicas, lambda: len(replicas._known) == 2)
        calls = []
        for _ in range(6):
            nearest = replicas.nearest()
            assert nearest is not None
            calls.append(asyncio.ensure_future(nearest.call("held")))
            await asyncio.sleep(0)
        free.set()
        assert sorted(await asyncio.gather(*calls)) == ["a"] * 3 + ["b"] * 3
        for door in doors:
            door.close()

    run(work())


def test_none_is_called_that_went_or_is_elsewhere() -> None:
    async def work() -> None:
        door, asked = await door_of("here", asyncio.Event()), []

        async def ask() -> Where:
            asked.append("here" if len(asked) < 3 else "on another machine")
            return {"replica": asked[-1]}

        replicas = Replicas(ask)
        await found(replicas, lambda: replicas.nearest() is not None)
        door.close()
        await found(replicas, lambda: len(asked) > 6)
        assert replicas.nearest() is None

    run(work())


def test_where_nobody_answers_images_go_by_serve() -> None:
    async def work() -> None:
        asked = []

        async def ask() -> Where:
            asked.append(1)
            raise ServiceError("Inference did not answer")

        replicas = Replicas(ask)
        await found(replicas, lambda: len(asked) > 2)
        assert replicas.nearest() is None

    run(work())
