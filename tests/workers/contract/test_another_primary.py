"""Streams and results where Sentinel names the Redis, and names another when that one dies."""

from __future__ import annotations

from typing import Any

from tests.vocab.servers import Server, eventually, unused_port
from vocab.connection import connect
from vocab.errors import StoreUnavailable
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_life import StreamLease
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore


def test_streams_results_and_numbering_go_on_with_the_next_primary(
    watched: tuple[Server, Server, Server],
) -> None:
    sentinel, primary, replica = watched
    client = connect(f"redis+sentinel://127.0.0.1:{unused_port()},127.0.0.1:{sentinel.port}/main/0")
    store, log = StreamStore(client), ResultLog(client, "gate", 1000)
    spec = store.add(StreamSpec(id="gate", source="sample:bikes"))
    lease = StreamLease(client, spec)
    fence = lease.acquire()
    assert fence is not None
    assert log.append(fence, 0, ["a", "b"], {"state": "running"}) == 2
    copy: Any = connect(replica.url)
    eventually(lambda: copy.xlen(StreamKeys("gate").results) == 2)

    primary.kill()

    eventually(lambda: _names(store) == ["gate"] and _writes(log, fence))
    assert store.get("gate") == spec
    assert store.status("gate").state == "running"
    assert [text for _, text in log.read(after=0, count=10)] == [b"a", b"b", b"c"]
    lease.release()
    assert StreamLease(client, spec).acquire() == fence + 1


def _names(store: StreamStore) -> list[str]:
    try:
        return list(store.all())
    except StoreUnavailable:
        return []


def _writes(log: ResultLog, fence: int) -> bool:
    try:
        return log.append(fence, 2, ["c"], {}) == 3
    except StoreUnavailable:
        return False
