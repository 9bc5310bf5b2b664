"""A look at many streams, and renewing many leases, on a Redis Cluster: their keys lie in different slots."""

from collections.abc import Iterator

import pytest

from tests.vocab.servers import Server, eventually, unused_port
from vocab.connection import RedisClient, connect
from vocab.redis_lease import RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.unread import Unread, look


@pytest.fixture
def cluster() -> Iterator[RedisClient]:
    options = ("--cluster-enabled", "yes", "--cluster-port", str(unused_port()))
    server = Server("valkey", *options, port=unused_port())
    client = connect(server.url)
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
    yield connect(f"redis+cluster://127.0.0.1:{server.port}")
    server.close()


def test_leases_of_many_streams_are_renewed_at_once(cluster):
    leases = [RedisLease(cluster, StreamKeys(f"cam-{n}")) for n in range(5)]
    for lease in leases[:3]:
        assert lease.acquire()
    assert RedisLease.renew_all(cluster, leases) == [True, True, True, False, False]


def test_streams_that_nobody_reads_are_found(cluster):
    store = StreamStore(cluster)
    for n in range(4):
        store.add(StreamSpec(id=f"cam-{n}", source="/clip.mp4", paused=n == 3))
    RedisLease(cluster, StreamKeys("cam-0")).acquire()
    found = look(cluster, Unread(), list(store.all().values()))
    assert sorted(one.spec.id for one in found.waiting) == ["cam-1", "cam-2"]
    assert [spec.id for spec in found.to_pause] == ["cam-3"]
