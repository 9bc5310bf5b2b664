from __future__ import annotations

import asyncio

import pytest

from tests.vocab.conftest import cluster, watched
from tests.vocab.servers import Server, unused_port
from tests.vocab.test_connection import certificate
from tests.workers.gateway.serving import Writer
from vocab.connection import connect
from workers.contract.cursor import Cursor
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.async_redis import asynchronous
from workers.gateway.tail import Tail

__all__ = ["certificate", "cluster", "watched"]


def check_that_it_tails(url: str) -> None:
    """A stream is followed there, and waiting for longer than a blocking client may is no error."""
    client = connect(url)
    spec = StreamSpec(id="yard", source="sample:bikes")
    StreamStore(client).add(spec)
    writer = Writer(url, "yard")

    async def follow() -> list[str]:
        waiting = asynchronous(client, timeout_s=2.5, connections=4)
        try:
            assert not await waiting.xread({writer.keys.results: "0"}, block=1200)
            tail = Tail(waiting, "there", spec, block_s=1.0)
            await tail.start(Cursor())
            writer.frames(0, 2)
            writer.energy(0, 0.5)
            writer.state("ended")
            return [event.name async for event in tail.events(follow=False)]
        finally:
            await waiting.aclose()

    assert asyncio.run(follow()) == ["prediction", "prediction", "energy", "state"]


@pytest.mark.parametrize("query", ["", "?protocol=3", "?protocol=2", "?db=3&socket_timeout=0.5"])
def test_a_socket_is_waited_at(redis: Server, query: str) -> None:
    check_that_it_tails(redis.url + query)


def test_a_login_is_carried_over() -> None:
    server = Server("valkey", "--requirepass", "p@ss:w/rd", port=unused_port())
    try:
        check_that_it_tails(f"redis://:p%40ss%3Aw%2Frd@127.0.0.1:{server.port}/1")
    finally:
        server.close()


@pytest.mark.parametrize("cluster", ["valkey"], indirect=True)
def test_a_cluster_is_waited_at(cluster: Server) -> None:
    check_that_it_tails(f"redis+cluster://127.0.0.1:{cluster.port}")


@pytest.mark.parametrize("watched", ["valkey"], indirect=True)
def test_the_primary_that_sentinel_names_is_waited_at(watched: tuple[Server, Server, Server]) -> None:
    check_that_it_tails(f"redis+sentinel://127.0.0.1:{watched[0].port}/main")


def test_tls_is_carried_over_with_its_certificate(certificate: tuple[str, str]) -> None:
    cert, key = certificate
    port = unused_port()
    tls = ("--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert)
    server = Server("redis", "--tls-port", str(port), *tls, "--tls-auth-clients", "no")
    try:
        check_that_it_tails(f"rediss://localhost:{port}/0?ssl_ca_certs={cert}")
    finally:
        server.close()
