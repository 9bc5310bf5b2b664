"""A sink connects to an address that was checked, and to no other that its name may lead to by then."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

import workers.access.addresses
from pipeline.errors import UsageError
from tests.vocab.servers import unused_port
from tests.workers.certificates import certificate
from tests.workers.sinks.brokers import Tansu
from tests.workers.sinks.receiver import Receiver
from workers.settings.schema import AccessSettings
from workers.sinks.parsing import AnySink
from workers.sinks.sink import SinkError

SINK: TypeAdapter[Any] = TypeAdapter(AnySink)
ALLOWED = AccessSettings(allow_hosts=["127.0.0.2"])


def _leads(monkeypatch: pytest.MonkeyPatch, name: str, *addresses: str) -> None:
    """Has a name lead to one address after the other, and then stay at the last."""
    real, left = socket.getaddrinfo, list(addresses)

    def look_up(host: Any, *a: Any, **k: Any) -> Any:
        if host not in (name, name.encode()):
            return real(host, *a, **k)
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, a[0] if a else 0))]

    monkeypatch.setattr(workers.access.addresses.socket, "getaddrinfo", look_up)


def test_a_webhook_whose_name_leads_elsewhere_by_then_is_refused_and_gets_nothing(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    _leads(monkeypatch, "rebinding.example", "127.0.0.2", "127.0.0.1")
    sink = SINK.validate_python({"kind": "webhook", "url": f"http://rebinding.example:{receiver.port}/"})
    sink.check(ALLOWED)
    opened = sink.open("gate", ALLOWED)
    with pytest.raises(UsageError, match=r"may not be delivered to: its address 127\.0\.0\.1"):
        opened.write([b"{}"])
    opened.close()
    assert receiver.requests == []


def test_a_broker_whose_name_leads_elsewhere_by_then_is_refused_and_never_connected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _leads(monkeypatch, "rebinding.example", "127.0.0.2", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as forbidden:
        forbidden.settimeout(0.2)
        port = forbidden.getsockname()[1]
        sink = SINK.validate_python({"kind": "mqtt", "url": f"mqtt://rebinding.example:{port}/topic"})
        sink.check(ALLOWED)
        with pytest.raises(UsageError, match=r"may not be delivered to: its address 127\.0\.0\.1"):
            sink.open("gate", ALLOWED)
        with pytest.raises(TimeoutError):
            forbidden.accept()


def test_a_kafka_broker_that_sends_us_to_a_forbidden_address_gets_nothing() -> None:
    with socket.create_server(("127.0.0.3", 0)) as forbidden:
        forbidden.settimeout(0.2)
        broker = Tansu(advertised=f"tcp://127.0.0.3:{forbidden.getsockname()[1]}")
        sink = SINK.validate_python({"kind": "kafka", "url": f"kafka://127.0.0.1:{broker.port}/topic"})
        try:
            with pytest.raises(UsageError, match=r"leads to 127\.0\.0\.3, may not be delivered to"):
                sink.open("gate", AccessSettings(allow_hosts=["127.0.0.1"]))
        finally:
            broker.kill()
        with pytest.raises(TimeoutError):
            forbidden.accept()


@pytest.mark.parametrize("then", ["127.0.0.1", "127.0.0.3"])
def test_a_kafka_broker_that_sends_us_elsewhere_later_gets_results_only_where_it_may(
    monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    monkeypatch.setattr("workers.sinks.kafka._TIMEOUT_S", 3.0)
    _leads(monkeypatch, "elsewhere.example", "127.0.0.1", then)
    port = unused_port()
    with socket.create_server(("127.0.0.3", port)) as forbidden:
        forbidden.settimeout(0.2)
        broker = Tansu(advertised=f"tcp://elsewhere.example:{port}", port=port)
        sink = SINK.validate_python({"kind": "kafka", "url": f"kafka://127.0.0.1:{port}/topic"})
        opened = sink.open("gate", AccessSettings(allow_hosts=["127.0.0.1"]))
        try:
            if then == "127.0.0.1":
                opened.write([b"{}"])
            else:
                with pytest.raises(UsageError, match=r"leads to elsewhere.example, may not.*127\.0\.0\.3"):
                    opened.write([b"{}"])
        finally:
            opened.close()
            broker.kill()
        with pytest.raises(TimeoutError):
            forbidden.accept()


class Secure:
    """A server with a certificate for `broker.example`; `names` are what was asked for by TLS."""

    def __init__(self, path: Path) -> None:
        self.names: list[str | None] = []
        self.greeted = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._socket = context.wrap_socket(socket.create_server(("127.0.0.2", 0)), server_side=True)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except ssl.SSLError:
                continue
            except OSError:
                return
            with connection:
                if connection.recv(1):
                    self.greeted.set()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Secure]:
    path = certificate(tmp_path, "broker.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    server = Secure(path)
    yield server
    server.close()


def test_a_certificate_is_verified_for_the_name_and_not_for_the_address(
    monkeypatch: pytest.MonkeyPatch, secure: Secure
) -> None:
    for name in ("broker.example", "other.example"):
        _leads(monkeypatch, name, "127.0.0.2")
        sink = SINK.validate_python({"kind": "mqtt", "url": f"mqtts://{name}:{secure.port}/topic"})
        with pytest.raises(SinkError) as refused:
            sink.open("gate", ALLOWED)
        assert secure.greeted.is_set()
        assert ("CERTIFICATE_VERIFY_FAILED" in str(refused.value)) == (name == "other.example")
    webhook = SINK.validate_python({"kind": "webhook", "url": f"https://other.example:{secure.port}/"})
    with pytest.raises(SinkError, match="CERTIFICATE_VERIFY_FAILED"):
        webhook.open("gate", ALLOWED).write([b"{}"])
    assert secure.names == ["broker.example", "other.example", "other.example"]
