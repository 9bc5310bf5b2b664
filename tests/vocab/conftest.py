from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.vocab.servers import KINDS, Server, eventually, unused_port
from vocab.connection import RedisClient, connect


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """An empty server, once of each kind."""
    server = Server(request.param)
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> RedisClient:
    return connect(server.url)


@pytest.fixture(params=KINDS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A cluster of one node, which refuses commands on keys of different slots as any other does."""
    options = ("--cluster-enabled", "yes", "--cluster-port", str(unused_port()))
    server = Server(request.param, *options, port=unused_port())
    client = connect(server.url)
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
    yield server
    server.close()


@pytest.fixture(params=KINDS)
def watched(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server, Server]]:
    """A primary, its replica and a Sentinel that watches them: (sentinel, primary, replica)."""
    primary = Server(request.param, "--repl-diskless-sync-delay", "0", port=unused_port())
    replica = Server(request.param, "--replicaof", "127.0.0.1", str(primary.port), port=unused_port())
    following: Any = connect(replica.url)
    eventually(lambda: following.info("replication")["master_link_status"] == "up")
    port = unused_port()
    config = primary.folder / "sentinel.conf"
    config.write_text(
        f"port {port}\ndir {primary.folder}\nsentinel monitor main 127.0.0.1 {primary.port} 1\n"
        "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000\n"
    )
    sentinel = Server(request.param, str(config), "--sentinel", port=port, ready=b"+monitor")
    asked: Any = connect(f"redis://127.0.0.1:{port}")
    eventually(lambda: asked.execute_command("SENTINEL", "MASTERS")[0][b"num-slaves"] == b"1")
    yield sentinel, primary, replica
    for server in (sentinel, replica, primary):
        server.close()
