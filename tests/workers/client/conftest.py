from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.vocab.servers import Server, eventually, unused_port
from vocab.connection import connect
from vocab.redis_lease import RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog

_API = "tests.workers.client.api_process"


class Service:
    """The real HTTP API in a process that can be killed and started again, beside a Redis that stays.

    Args:
        folder: that streams may use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis = Server("valkey")
        self.client = connect(self.redis.url)
        self.port = unused_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """Starts the API and waits until it answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", _API, str(self.port), self.redis.url, str(self.folder)]
        )
        eventually(self._answers, 60)

    def kill(self) -> None:
        """Ends it at once, in the middle of whatever it writes."""
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        """Asks it to end, as a rolling update does."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def reset(self) -> None:
        """Starts what a test ended, and forgets all streams."""
        self.redis.kill()
        self.redis.start()
        if self._process.poll() is not None:
            self.start()
        eventually(self._answers, 60)

    def close(self) -> None:
        self.kill()
        self.redis.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the API ended"
        try:
            return httpx.get(f"{self.url}/v1/streams", timeout=5).is_success
        except httpx.TransportError:
            return False


class Frames:
    """Writes what Ingest and Inference would, under a real lease."""

    def __init__(self, service: Service, stream: str) -> None:
        fence = RedisLease(service.client, StreamKeys(stream)).acquire()
        assert fence is not None
        self._fence, self._stream, self._next = fence, stream, 0
        self._log = ResultLog(service.client, stream, 100_000)

    def write(self, count: int) -> None:
        texts = [json.dumps(result(self._stream, n)) for n in range(self._next, self._next + count)]
        self._next = self._log.append(self._fence, self._next, texts, {})

    def tell(self, **status: Any) -> None:
        self._log.set_status(self._fence, status, json.dumps({"state": "running", "reason": None, **status}))

    def know(self, **status: Any) -> None:
        self._log.set_status(self._fence, status)


def result(stream: str, frame: int) -> dict[str, Any]:
    """A result as the pipeline writes it."""
    return {
        "stream": stream,
        "frame": frame,
        "pts_s": frame / 25,
        "tokens": {"full": 256, "kept": 131},
        "prediction": {"kind": "labels", "labels": [{"label": "tabby cat", "score": 0.871}]},
        "latency_ms": {"decode": 1.0, "queue": 0.4, "infer": 61.0, "total": 63.1},
        "energy": {"joules": 0.41, "method": "estimate", "settled": True},
        "dropped": {},
    }


@pytest.fixture(scope="module")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(tmp_path_factory.mktemp("allowed"))
    yield service
    service.close()


@pytest.fixture
def service(_running: Service) -> Service:
    """A service without streams."""
    _running.reset()
    return _running
