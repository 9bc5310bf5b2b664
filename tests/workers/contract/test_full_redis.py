"""A Redis that is full still lets streams be taken over, paused and removed, and says what it is short of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vocab.servers import KINDS, Server, eventually
from vocab.connection import RedisClient, connect
from vocab.errors import StoreUnavailable
from vocab.redis_memory import memory
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.sink_offsets import SinkOffset, SinkOffsets
from workers.contract.stream_life import StreamLease
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore

KEYS = StreamKeys("gate")


@pytest.fixture(params=KINDS)
def full(request: pytest.FixtureRequest) -> Iterator[RedisClient]:
    """Full of what the streams `gate` and `yard` gave; nobody reads them."""
    server = Server(request.param, "--maxmemory-policy", "noeviction")
    client = connect(server.url)
    store = StreamStore(client)
    store.epoch()
    for name in ("gate", "yard"):
        spec = store.add(StreamSpec(id=name, source="x"))
        lease = StreamLease(client, spec)
        fence = lease.acquire()
        assert fence is not None
        ResultLog(client, name, 10**6).append(fence, 0, ["x" * 10_000] * 500, {})
        lease.release()
    client.config_set("maxmemory", str(memory(client).used - 2**20))
    with pytest.raises(Exception, match="maxmemory"):
        client.set("more", "x")
    yield client
    server.close()


def test_a_stream_is_taken_over_and_says_so(full: RedisClient) -> None:
    store = StreamStore(full)
    assert store.epoch()[1] is False
    lease = StreamLease(full, store.get("gate"))
    fence = lease.acquire()
    assert fence is not None
    assert lease.renew()
    log = ResultLog(full, "gate", 100)
    log.set_status(fence, {"state": "failed", "reason": "Redis is full"}, "{}")
    assert store.status("gate").state == "failed"
    SinkOffsets(full, "gate").save(fence, "out", SinkOffset(frames=3))
    with pytest.raises(StoreUnavailable, match="is full"):
        log.append(fence, log.next_frame(), ["x"], {})


def test_a_stream_is_paused(full: RedisClient) -> None:
    assert StreamStore(full).change("gate", {"paused": True}).paused


def test_removing_a_stream_makes_room(full: RedisClient) -> None:
    store = StreamStore(full)
    store.remove("gate")
    assert [key for key in full.keys("vwt:{gate}:*") if full.ttl(key) == -1] == []
    limit = memory(full).limit
    assert limit is not None
    # Valkey gives it back a little later.
    eventually(lambda: memory(full).used < limit)
    full.set("more", "x")
