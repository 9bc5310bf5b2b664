"""Messages as they come on a connection of asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

from workers.direct.wire import COUNT, packed, sizes_of, table_bytes, unpacked

_LOG = logging.getLogger("vwt.direct")


class Receiver(asyncio.BufferedProtocol):
    """One connection. What comes is read straight to where it stays.

    Args:
        took: given each message.
        lost: called when the connection has ended.
    """

    def __init__(self, took: Callable[[Receiver, Any], None], lost: Callable[[Receiver], None]) -> None:
        self._took = took
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._left = False
        self._expect(COUNT.size, self._head)

    @property
    def ended(self) -> bool:
        """Whether it has, or is about to."""
        return self._transport is None or self._transport.is_closing()

    def send(self, message: Any) -> None:
        """Sends a message as soon as it can be; never waits."""
        assert self._transport is not None, "who sends has been asked"
        self._transport.writelines(packed(message))

    def leave(self) -> None:
        """Ends the connection, also one that is only about to be made."""
        self._left = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        # uvloop's is no asyncio.Transport.
        self._transport = cast(asyncio.Transport, transport)
        if self._left:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio has it
        """See asyncio."""
        self._lost(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as asyncio has it
        """See asyncio."""
        return self._view[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio."""
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
        message = unpacked(self._body, self._sizes)
        self._expect(COUNT.size, self._head)
        self._took(self, message)
