from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.sources import parse_source
from tests.survival.service import Service
from tests.vocab.servers import Server, unused_port

# No model: what must survive is the service around it.
NULL = {"model": "null", "tokenizer": "full"}
# The clip as a camera would play it.
PLAYED = {"loop": True, "realtime": True, **NULL}


@pytest.fixture
def redis() -> Iterator[Server]:
    """A server that keeps nothing on disk."""
    server = Server("valkey", port=unused_port())
    yield server
    server.close()


@pytest.fixture
def service(tmp_path: Path, redis: Server) -> Iterator[Service]:
    """A service on that server."""
    service = Service(tmp_path, {}, "--redis", f"redis://127.0.0.1:{redis.port}")
    yield service
    service.stop()


@pytest.fixture(scope="session")
def clip() -> Path:
    """Ten seconds of a street, 250 frames."""
    return Path(parse_source("sample:bikes").location)
