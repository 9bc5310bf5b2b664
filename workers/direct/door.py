"""The end of a connection that is called: a replica that listens."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from pipeline.errors import ServiceError, UsageError
from workers.direct.wire import COUNT, meeting_place, packed, sizes_of, table_bytes, unpacked

_LOG = logging.getLogger("vwt.direct")

Methods = Mapping[str, Callable[..., Awaitable[Any]]]


class Door:
    """Takes calls at a path, each answered as soon as it is done, whatever becomes of the others.

    Args:
        path: of the socket; a folder of this user alone.
        methods: that can be called, by name; they run in the event loop that this is made in.
    """

    def __init__(self, path: Path, methods: Methods) -> None:
        self._path = path
        self._methods = methods
        self._open: set[_Visit] = set()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._loop = asyncio.get_running_loop()
        self._listening = self._loop.create_task(self._listen())

    async def _listen(self) -> asyncio.AbstractServer:
        return await self._loop.create_unix_server(
            lambda: _Visit(self._methods, self._open), sock=self._socket
        )

    def close(self) -> None:
        """Takes no more calls, from any thread; those under way are not answered."""
        self._path.unlink(missing_ok=True)
        with suppress(RuntimeError):  # the loop has ended, and all connections with it
            self._loop.call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        if self._listening.done() and not self._listening.cancelled():
            self._listening.result().close()
        for visit in list(self._open):
            visit.leave()


def door(replica: str, methods: Methods) -> Door | None:
    """The door of a replica; None where it can have none, and is called by Serve alone."""
    try:
        return Door(meeting_place(replica), methods)
    except (OSError, UsageError) as error:
        _LOG.warning("calls go by Serve alone: %s", error)
        return None


class _Visit(asyncio.BufferedProtocol):
    """One connection. What comes is read straight to where it stays."""

    def __init__(self, methods: Methods, visits: set[_Visit]) -> None:
        self._methods = methods
        self._visits = visits
        self._tasks: set[asyncio.Task[None]] = set()
        self._transport: asyncio.Transport
        self._expect(COUNT.size, self._head)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        self._visits.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio has it
        self._visits.discard(self)

    def leave(self) -> None:
        """Ends the connection."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio has it
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        self._filled += nbytes
        if self._filled == len(self._view):
            try:
                self._then()
            except Exception:
                _LOG.exception("a connection is ended: what came cannot be read")
                self.leave()

    def _expect(self, size: int, then: Callable[[], None]) -> None:
        self._body, self._filled, self._then = bytearray(size), 0, then
        self._view = memoryview(self._body)

    def _head(self) -> None:
        self._expect(table_bytes(self._body), self._table)

    def _table(self) -> None:
        self._sizes = sizes_of(self._body)
        self._expect(sum(self._sizes), self._message)

    def _message(self) -> None:
        number, method, arguments = unpacked(self._body, self._sizes)
        self._expect(COUNT.size, self._head)
        task = asyncio.get_running_loop().create_task(self._call(number, method, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _call(self, number: int, method: str, arguments: tuple[Any, ...]) -> None:
        value, error = None, None
        try:
            value = await self._methods[method](*arguments)
        except Exception as raised:
            error = raised
        if self._transport.is_closing():
            return
        try:
            parts = packed((number, value, error))
        except Exception:
            parts = packed((number, None, ServiceError(f"{type(error or value).__name__}: {error or value}")))
        self._transport.writelines(parts)
