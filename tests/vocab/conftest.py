from __future__ import annotations

from collections.abc import Iterator

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
