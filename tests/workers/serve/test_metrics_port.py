from __future__ import annotations

import socket
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from pipeline.errors import ServiceError
from workers.serve.metrics_port import forwarded


def test_what_listens_on_the_loopback_answers_at_another_address(tmp_path: Path, unused_port: int) -> None:
    (tmp_path / "metrics").write_text("vwt 1\n")
    ray = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(tmp_path)))
    threading.Thread(target=ray.serve_forever, args=(0.02,), daemon=True).start()
    try:
        with forwarded(unused_port, ray.server_port):
            assert httpx.get(f"http://127.0.0.2:{unused_port}/metrics").text == "vwt 1\n"
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.2:{unused_port}/metrics")
    finally:
        ray.shutdown()
        ray.server_close()


def test_a_port_that_is_taken_is_said() -> None:
    with (
        socket.create_server(("", 0)) as other,
        pytest.raises(ServiceError, match="choose another ray_metrics_port"),
        forwarded(other.getsockname()[1], 1),
    ):
        pass
