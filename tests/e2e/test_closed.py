"""What a service on one machine leaves open to others: its own port, and nothing of Ray's or of its files."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.e2e.service import Service

NULL = ("--model", "null")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("data")
    folder.chmod(0o755)
    service = Service("sample:bikes", *NULL, "--data-folder", str(folder))
    service.folder = folder  # type: ignore[attr-defined]
    yield service
    service.close()


def test_every_socket_of_the_service_is_on_the_loopback(service: Service) -> None:
    command = psutil.Process(service.process.pid)
    listening = [
        (process.name(), connection.laddr.ip)
        for process in (command, *command.children(recursive=True))
        for connection in process.net_connections("inet")
        # What takes datagrams has a socket without a state, and no peer.
        if connection.status == psutil.CONN_LISTEN
        or (connection.type == socket.SOCK_DGRAM and not connection.raddr)
    ]

    assert "raylet" in {name for name, _ in listening}
    loopback = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert [(name, ip) for name, ip in listening if ip not in loopback] == []


def test_the_gateway_listens_itself_and_there_is_no_proxy_of_serve(service: Service) -> None:
    port = urlsplit(service.url).port
    command = psutil.Process(service.process.pid)
    beneath = {process: " ".join(process.cmdline()) for process in command.children(recursive=True)}
    assert [title for title in beneath.values() if "Proxy" in title] == []
    behind = [
        title
        for process, title in beneath.items()
        if any(
            at.status == psutil.CONN_LISTEN and at.laddr.port == port
            for at in process.net_connections("inet")
        )
    ]
    assert len(behind) == 1
    assert "Gateway" in behind[0]


def test_nobody_else_reads_what_it_keeps_or_what_ray_logs(service: Service) -> None:
    ray = Path(tempfile.gettempdir()) / f"vwt-ray-{os.geteuid()}"
    assert f"{ray}/t/session_" in service.said
    assert ray.stat().st_mode & 0o777 == 0o700
    kept = list(service.folder.rglob("*"))  # type: ignore[attr-defined]
    assert kept
    assert [path for path in kept if path.stat().st_mode & 0o077] == []
