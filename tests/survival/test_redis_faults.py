"""Redis killed, full, slow, and shared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.survival.conftest import PLAYED
from tests.survival.outcomes import record
from tests.survival.proxy import LateProxy
from tests.survival.service import Service, until
from tests.vocab.servers import Server
from vocab.connection import connect
from workers.contract.keys import StreamKeys

pytestmark = pytest.mark.survival


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Service]:
    """A service on its own Redis, which writes to disk."""
    service = Service(tmp_path, {})
    yield service
    service.stop()


def test_the_embedded_redis_comes_back_with_everything(embedded: Service, clip: Path) -> None:
    stream = embedded.add(clip, name="played", **PLAYED)
    tail = embedded.tail(stream)
    tail.more(60)
    killed_at = time.monotonic()
    children = embedded.process().children(recursive=True)
    server = next(child for child in children if child.name().startswith("valkey"))
    server.kill()
    server.wait(10)
    tail.more(100)
    tail.stop()
    tail.check_once_each()
    record(
        "kill -9 of the embedded Redis, which writes to disk",
        "streams, results and words are there again, but for at most the last second; numbering goes on",
        tail.longest_pause_s(killed_at),
        f"0 of {len(tail.frames)} frames for a client that was reading",
    )


def test_a_plain_redis_that_lost_all_gets_its_streams_back(
    service: Service, redis: Server, clip: Path
) -> None:
    stream = service.add(clip, name="played", **PLAYED)
    tail = service.tail(stream)
    tail.more(60)
    killed_at = time.monotonic()
    redis.kill()
    redis.start()
    tail.more(100)
    status = service.status(stream)
    tail.stop()
    numbers = tail.frames
    assert numbers == sorted(set(numbers))
    missing = numbers[-1] + 1 - len(numbers)
    assert status["state"] == "running"
    assert missing == 0 or tail.gaps
    record(
        "kill -9 of a Redis without persistence, restarted empty",
        "streams that were running are put back and go on counting; earlier results and words are gone; "
        "a client is told",
        tail.longest_pause_s(killed_at),
        f"{missing} of {numbers[-1] + 1} results for a client that was reading; gaps told: {len(tail.gaps)}",
    )


def test_a_full_redis_holds_streams_up_and_loses_nothing(service: Service, redis: Server, clip: Path) -> None:
    stream = service.add(clip, name="played", **PLAYED)
    tail = service.tail(stream)
    tail.more(30)
    client = connect(redis.url)
    client.config_set("maxmemory", 1)
    until(lambda: len(tail.frames) and time.monotonic() - tail.times[-1] > 3, 30)
    client.config_set("maxmemory", 0)
    freed_at = time.monotonic()
    tail.more(60)
    back_s = next(at for at in tail.times if at > freed_at) - freed_at
    tail.stop()
    tail.check_once_each()
    record(
        "Redis full (maxmemory, noeviction)",
        "files wait, live sources drop the oldest and count it",
        back_s,
        f"0 of {len(tail.frames)} frames",
    )


def test_a_slow_redis_loses_nothing(tmp_path: Path, redis: Server, clip: Path) -> None:
    proxy = LateProxy(redis.port)
    service = Service(tmp_path, {}, "--redis", f"redis://127.0.0.1:{proxy.port}")
    try:
        stream = service.add(clip, name="played", **PLAYED)
        tail = service.tail(stream)
        tail.more(30)
        proxy.delay_s = 0.1
        slowed_at = time.monotonic()
        tail.more(60)
        pause_s = tail.longest_pause_s(slowed_at)
        proxy.delay_s = 0.0
        tail.more(30)
        tail.stop()
        tail.check_once_each()
    finally:
        service.stop()
        proxy.close()
    record(
        "Redis slow (200 ms more per answer)",
        f"results go on, later (the longest pause {pause_s:.1f} s)",
        None,
        f"0 of {len(tail.frames)} frames",
    )


def test_two_services_on_one_redis_share_the_streams(
    service: Service, redis: Server, clip: Path, tmp_path: Path
) -> None:
    other = Service(tmp_path / "other", {}, "--redis", f"redis://127.0.0.1:{redis.port}")
    try:
        streams = [service.add(clip, name=f"played-{number}", **{**PLAYED, "fps": 5}) for number in range(4)]
        tails = [other.tail(stream) for stream in streams]
        for tail in tails:
            tail.more(30)
        client = connect(redis.url)
        tokens = [client.hget(StreamKeys(stream).last, "token") for stream in streams]
        for tail in tails:
            tail.more(10)
        # Nobody takes a stream from another.
        assert tokens == [client.hget(StreamKeys(stream).last, "token") for stream in streams]
        stopped_at = time.monotonic()
        service.stop()
        for tail in tails:
            tail.more(30)
            tail.stop()
            tail.check_once_each()
        pause_s = max(tail.longest_pause_s(stopped_at) for tail in tails)
    finally:
        other.stop()
    record(
        "two services on one Redis, one stopped",
        "each stream is run once; the other service takes over",
        pause_s,
        f"0 of {sum(len(tail.frames) for tail in tails)} frames",
    )
