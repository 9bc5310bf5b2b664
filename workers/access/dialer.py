"""Connections of asyncio to addresses that were checked: looked up once, and to one of those."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from typing import NamedTuple

from pipeline.errors import UsageError, VwtError
from workers.access.addresses import SOURCE_REFUSAL, AllowedHosts

LONGEST_HEAD = 64 * 1024
_CHUNK = 64 * 1024
_CONNECT_S = 10.0


class Peer(NamedTuple):
    """Where a connection leads."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DialError(VwtError):
    """A connection that may not or cannot be made; says why and what to do."""


class Dialer:
    """Connects for one source, wherever that leads.

    Args:
        hosts: may be connected to.
        own: host of the source itself.
        shown: the source, without credentials.
        on_refusal: told of each connection that may not be made.

    Attributes:
        failure: why the last connection could not be made; None when it could.
    """

    def __init__(self, hosts: AllowedHosts, own: str, shown: str, on_refusal: Callable[[str], None]) -> None:
        self.failure: str | None = None
        self._hosts = hosts
        self._own = own
        self._shown = shown
        self._on_refusal = on_refusal

    async def connect(self, peer: Peer) -> tuple[StreamReader, StreamWriter]:
        """Connects to an address of a peer.

        Raises:
            DialError: it may not be, or nobody answers there.
        """
        self.failure = None
        shown = self._shown if peer.host == self._own else f"{peer}, where {self._shown} leads,"
        refusal = SOURCE_REFUSAL if peer.host == self._own else "{} may not be read"
        try:
            addresses = await asyncio.to_thread(self._hosts.resolve, peer.host, shown, refusal)
        except UsageError as error:
            self._on_refusal(str(error))
            raise self._failed(str(error)) from None
        cause: Exception | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(_CONNECT_S):
                    return await asyncio.open_connection(
                        address,
                        peer.port,
                        ssl=_unverified() if peer.tls else None,
                        server_hostname=peer.host if peer.tls else None,
                        limit=LONGEST_HEAD,
                    )
            except (OSError, ValueError) as error:
                cause = error
        raise self._failed(f"cannot connect to {peer}: {_why(cause)}") from None

    def give_up(self, why: str) -> DialError:
        """What to raise where a connection was made and must not be used."""
        self._on_refusal(why)
        return self._failed(why)

    def _failed(self, why: str) -> DialError:
        self.failure = why
        return DialError(why)


async def pour(source: StreamReader, sink: StreamWriter) -> None:
    """Hands on what arrives, until the end."""
    while data := await source.read(_CHUNK):
        sink.write(data)
        await sink.drain()


async def until_first(*jobs: asyncio.Future[None]) -> None:
    """Waits until one of the jobs is done, and ends the others; raises what it raised."""
    try:
        done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    for job in done:
        job.result()


def _unverified() -> ssl.SSLContext:
    """Takes any certificate, as FFmpeg does: those of cameras are signed by nobody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _why(cause: Exception | None) -> str:
    if isinstance(cause, TimeoutError):
        return f"no answer within {_CONNECT_S:.0f} s: check address and network"
    if isinstance(cause, ConnectionRefusedError):
        return "Connection refused: check that the server runs and the port is right"
    if isinstance(cause, ssl.SSLError):
        return f"{cause.reason or cause}: check that it speaks TLS there"
    reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause)
    return f"{reason}: check address and network"
