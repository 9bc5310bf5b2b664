import socket

import httpx
import pytest
from fastapi import FastAPI

from pipeline.errors import UsageError
from workers.gateway.listener import Listener
from workers.serve.address import base_url, free_port, held_port, is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_only_this_machine_reaches_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "myhost", "localhost.example.org"])
def test_others_may_reach_anything_else(host):
    assert not is_loopback(host)


def test_a_port_that_is_taken_is_reported_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port}: address already in use; give another --host or"):
            free_port("127.0.0.1", port)


def test_a_host_of_another_machine_is_reported():
    with pytest.raises(UsageError, match=r"cannot listen on 192\.0\.2\.1 port 8000: cannot assign"):
        free_port("192.0.2.1", 8000)


def test_port_zero_becomes_one_that_is_free():
    port = free_port("127.0.0.1", 0)

    assert free_port("127.0.0.1", port) == port > 0


def test_a_port_is_held_from_the_start_for_gateways_alone():
    with held_port("127.0.0.1", 0) as port:
        for take in (free_port, lambda *at: socket.create_server(at), lambda *at: held_port(*at).__enter__()):
            with pytest.raises((UsageError, OSError), match="ddress already in use"):
                take("127.0.0.1", port)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 5)
        gateways = [Listener(FastAPI(), "127.0.0.1", port, 10, 1.0) for _ in range(2)]
        assert httpx.get(f"http://127.0.0.1:{port}/docs").status_code == 200
        for gateway in gateways:
            gateway.close()
    assert free_port("127.0.0.1", port) == port


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8"),
        ("0.0.0.0", "http://127.0.0.1:8"),
        ("::", "http://[::1]:8"),
        ("a", "http://a:8"),
    ],
)
def test_the_url_is_one_that_opens_here(host, url):
    assert base_url(host, 8) == url
