"""A sink that nothing ships, as somebody would add one: a datagram per result."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from workers.settings.schema import AccessSettings
from workers.sinks.registry import Kind
from workers.sinks.settings import UrlSinkSettings

UDP = Kind("udp", "udp://host:port", "tests.workers.sinks.udp:UdpSettings")


class UdpSettings(UrlSinkSettings):
    """Sends a datagram per result."""

    schemes: ClassVar[tuple[str, ...]] = ("udp",)

    kind: Literal["udp"] = "udp"

    def open(self, stream: str, access: AccessSettings) -> UdpSocket:  # noqa: ARG002
        parts = urlsplit(self.url.get_secret_value())
        assert parts.hostname
        assert parts.port
        return UdpSocket((parts.hostname, parts.port))


class UdpSocket:
    """An open socket."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def write(self, results: Sequence[bytes]) -> None:
        for result in results:
            self._socket.sendto(result, self._address)

    def close(self) -> None:
        self._socket.close()
