"""The way to a Kafka cluster: its library connects to the loopback only, and from there to checked addresses.

A broker says where the others are, and the library goes there by itself, whenever it is told anew. So it is
told of a port here for each of them. What it is told must be in a form that is read here: its versions are
the newest that it gets, and what else could tell it of brokers is not let through.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import closing, suppress

from pipeline.errors import UsageError
from workers.access.addresses import AllowedHosts
from workers.access.dialer import until_first
from workers.sinks.settings import REFUSAL

_PRODUCE, _METADATA, _VERSIONS, _PRODUCER_ID = 0, 3, 18, 22
# From the next version of these on, answers are in another form or name brokers as well.
_NEWEST = {_PRODUCE: 7, _METADATA: 4}
_ASKED = (_PRODUCE, _METADATA, _VERSIONS, _PRODUCER_ID)
_UNSUPPORTED_VERSION = 35
_LONGEST = 16 * 2**20
_MOST_BROKERS = 1000
_TIMEOUT_S = 10.0
_Broker = tuple[str, int]


class KafkaRelay:
    """Relays the connections of one sink, in a thread of its own.

    Args:
        hosts: may be connected to.
        shown: the sink, without credentials.
        first: host and port of the broker that its URL names.

    Attributes:
        refusal: why the last broker that may not be connected to may not; None where all may.
        address: what the library is to connect to first.
    """

    def __init__(self, hosts: AllowedHosts, shown: str, first: _Broker) -> None:
        self.refusal: str | None = None
        self._hosts = hosts
        self._shown = shown
        self._first = first
        self._ports: dict[_Broker, int] = {}
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._run, name="vwt-kafka", daemon=True).start()
        port = asyncio.run_coroutine_threadsafe(self._port(first), self._loop).result(_TIMEOUT_S)
        self.address = f"127.0.0.1:{port}"

    def close(self) -> None:
        """Ends every connection; never waits."""
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for server in self._servers:
            server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    async def _port(self, broker: _Broker) -> int:
        """The port here that leads to a broker."""
        if broker not in self._ports:
            if len(self._ports) >= _MOST_BROKERS:
                raise ValueError("no cluster has so many brokers")

            async def handle(client: StreamReader, answer: StreamWriter) -> None:
                # What either side does to the other is for the library to find out.
                with (
                    suppress(OSError, EOFError, ValueError, IndexError, struct.error, UsageError),
                    closing(answer),
                ):
                    await self._relay(broker, client, answer)

            server = await asyncio.start_server(handle, "127.0.0.1", 0)
            self._servers.append(server)
            self._ports[broker] = server.sockets[0].getsockname()[1]
        return self._ports[broker]

    async def _relay(self, broker: _Broker, client: StreamReader, answer: StreamWriter) -> None:
        reader, writer = await self._connect(*broker)
        asked: dict[int, tuple[int, int]] = {}
        try:
            await until_first(
                asyncio.ensure_future(self._ask(client, writer, asked)),
                asyncio.ensure_future(self._answer(reader, answer, asked)),
            )
        finally:
            writer.close()

    async def _connect(self, host: str, port: int) -> tuple[StreamReader, StreamWriter]:
        """Connects to an address of a broker that was checked."""
        leads = "" if (host, port) == self._first else f", which leads to {host},"
        try:
            addresses = await asyncio.to_thread(self._hosts.resolve, host, self._shown + leads, REFUSAL)
        except UsageError as error:
            self.refusal = str(error)
            raise
        async with asyncio.timeout(_TIMEOUT_S):
            return await asyncio.open_connection(addresses[0], port)

    async def _ask(
        self, client: StreamReader, broker: StreamWriter, asked: dict[int, tuple[int, int]]
    ) -> None:
        while True:
            message = await _message(client)
            kind, version, number = struct.unpack_from(">hhi", message)
            if kind not in _ASKED or version > _NEWEST.get(kind, version):
                raise ValueError("it was told of nothing like this")
            asked[number] = (kind, version)
            broker.writelines((struct.pack(">i", len(message)), message))
            await broker.drain()

    async def _answer(
        self, broker: StreamReader, client: StreamWriter, asked: dict[int, tuple[int, int]]
    ) -> None:
        while True:
            message = await _message(broker)
            kind, version = asked.pop(struct.unpack_from(">i", message)[0], (None, 0))
            if kind is None:
                raise ValueError("it answers what was not asked")
            if kind == _VERSIONS:
                message = _limited(message, version)
            elif kind == _METADATA:
                message = await self._led_here(message, version)
            client.writelines((struct.pack(">i", len(message)), message))
            await client.drain()

    async def _led_here(self, message: bytes, version: int) -> bytes:
        """An answer of Metadata with a port here in place of each broker."""
        at = 8 if version >= 3 else 4
        brokers, end = read_brokers(message, at, racks=version >= 1)
        parts = [message[:at], struct.pack(">i", len(brokers))]
        for node, host, port, rack in brokers:
            here = b"127.0.0.1"
            parts += [
                struct.pack(">ih", node, len(here)),
                here,
                struct.pack(">i", await self._port((host, port))),
                rack,
            ]
        return b"".join((*parts, message[end:]))


def read_brokers(message: bytes, at: int, racks: bool) -> tuple[list[tuple[int, str, int, bytes]], int]:
    """The brokers that an answer of Metadata lists: number, host, port and the bytes of its rack.

    Args:
        message: the answer.
        at: where its list begins.
        racks: whether it tells in which rack each is, as from version 1 on.

    Returns:
        The brokers, and where the list ends.

    Raises:
        ValueError, struct.error: it is none.
    """
    count = struct.unpack_from(">i", message, at)[0]
    if not 0 <= count <= len(message):
        raise ValueError("its answer is none of Kafka")
    at += 4
    brokers = []
    for _ in range(count):
        node, length = struct.unpack_from(">ih", message, at)
        at += 6
        host = message[at : at + length].decode()
        at += length
        port = struct.unpack_from(">i", message, at)[0]
        at += 4
        start = at
        if racks:
            at += 2 + max(struct.unpack_from(">h", message, at)[0], 0)
        brokers.append((node, host, port, message[start:at]))
    return brokers, at


def _limited(message: bytes, version: int) -> bytes:
    """An answer of ApiVersions that states no newer versions than are read here."""
    limited = bytearray(message)
    # One that does not know the version answers in the first.
    compact = version >= 3 and struct.unpack_from(">h", message, 4)[0] != _UNSUPPORTED_VERSION
    at = 6
    if compact:
        count, at = _varint(message, at)
        count -= 1
    else:
        count = struct.unpack_from(">i", message, at)[0]
        at += 4
    for _ in range(count):
        kind, oldest, newest = struct.unpack_from(">hhh", message, at)
        allowed = min(newest, _NEWEST.get(kind, newest))
        if allowed < oldest:
            raise ValueError("it speaks no version that is read here")
        struct.pack_into(">h", limited, at + 4, allowed)
        at += 6
        if compact:
            tags, at = _varint(message, at)
            if tags:
                raise ValueError("it says more than is read here")
    return bytes(limited)


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
        if shift > 28:
            raise ValueError("no count is so large")


async def _message(reader: StreamReader) -> bytes:
    size = struct.unpack(">i", await reader.readexactly(4))[0]
    if not 8 <= size <= _LONGEST:
        raise ValueError(f"a message of {size} bytes, as none of Kafka is")
    return await reader.readexactly(size)
