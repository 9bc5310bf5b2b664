"""A node of the cluster is lost, and another one comes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster

from tests.survival.conftest import PLAYED
from tests.survival.outcomes import record
from tests.survival.service import Service
from tests.vocab.servers import Server, unused_port

pytestmark = pytest.mark.survival

_NODE = {"num_cpus": 8, "object_store_memory": 200 * 2**20, "include_dashboard": False}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head that runs no replicas; every node is a set of processes of its own on this machine."""
    head = {**_NODE, "num_cpus": 0, "gcs_server_port": unused_port()}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()


def test_streams_move_to_the_node_that_is_left(
    cluster: Cluster, redis: Server, clip: Path, tmp_path: Path
) -> None:
    first = cluster.add_node(**_NODE)
    redis_url = f"redis://127.0.0.1:{redis.port}"
    service = Service(tmp_path, {}, "--redis", redis_url, "--ray-address", cluster.address)
    try:
        streams = [service.add(clip, name=f"played-{number}", **{**PLAYED, "fps": 5}) for number in range(3)]
        tails = [service.tail(stream) for stream in streams]
        for tail in tails:
            tail.more(15)
        cluster.add_node(**_NODE)
        lost_at = time.monotonic()
        cluster.remove_node(first, allow_graceful=False)
        for tail in tails:
            tail.more(60, within_s=180)
            tail.stop()
            tail.check_once_each()
    finally:
        service.stop()
    record(
        "a Ray node added, the one that ran everything removed",
        "all replicas start again on the node that is left, streams resume",
        max(tail.longest_pause_s(lost_at) for tail in tails),
        f"0 of {sum(len(tail.frames) for tail in tails)} frames",
    )
