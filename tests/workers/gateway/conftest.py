from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from workers.settings.schema import ServiceSettings


@pytest.fixture
def redis() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def serve(redis: Server) -> Iterator[Callable[..., Api]]:
    """Starts an API with settings of the test's own."""
    running: list[Api] = []

    def start(**settings: Any) -> Api:
        running.append(Api(ServiceSettings(redis=redis.url, **settings)))
        return running[-1]

    yield start
    for api in running:
        api.close()


@pytest.fixture
def api(serve: Callable[..., Api]) -> Api:
    return serve()


@pytest.fixture
def writer(redis: Server, api: Api) -> Writer:
    """Writes what the stream "bikes" gives."""
    api.add()
    return Writer(redis.url, "bikes")
