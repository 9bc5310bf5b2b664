"""A client for those who start while Redis is away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.vocab.servers import Server
from vocab.errors import StoreUnavailable
from vocab.lazy_client import LazyClient


def test_it_connects_once_redis_is_there_and_is_the_same_for_all_threads(server: Server) -> None:
    server.kill()
    lazy = LazyClient(server.url)
    with pytest.raises(StoreUnavailable):
        lazy.get()
    server.start()
    together = threading.Barrier(8, timeout=20)

    def get() -> int:
        together.wait()
        return id(lazy.get())

    with ThreadPoolExecutor(8) as pool:
        assert len({asked.result() for asked in [pool.submit(get) for _ in range(8)]}) == 1
    assert lazy.get().ping()
    lazy.close()


def test_it_may_be_closed_before_it_was_needed(server: Server) -> None:
    server.kill()
    LazyClient(server.url).close()
