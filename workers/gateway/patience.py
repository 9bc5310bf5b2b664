"""How long a connection may take: to say what it wants, and to take what it is sent."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

# A request must be whole within so long; a body may take longer while it comes at a fair pace.
_REQUEST_S = 10.0
_FAIR_BYTES = 16 * 1024
_LONGEST_HEAD = 64 * 1024
# What was sent and is not taken: the kernel holds some, the transport the rest.
_TAKE_S = 20.0
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# The loose types of a protocol whose library picks it when it is imported.
_Http: Any = AutoHTTPProtocol
_WebSocket: Any = AutoWebSocketsProtocol


class _Taken:
    """Ends a connection whose peer takes nothing of what waits to be sent."""

    transport: asyncio.Transport
    _stalled: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Called by the transport when too much waits."""
        # Without what waits: it would never go.
        self._stalled = asyncio.get_running_loop().call_later(_TAKE_S, self.transport.abort)
        super().pause_writing()  # type: ignore[misc]

    def resume_writing(self) -> None:
        """Called by the transport when little waits again."""
        self._cancel()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport at the end."""
        self._cancel()
        super().connection_lost(exc)  # type: ignore[misc]

    def _cancel(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


class PatientHttp(_Taken, _Http):  # type: ignore[misc]
    """HTTP as uvicorn speaks it, for peers that are not kept waiting by others who say nothing.

    Attributes:
        most: connections that a listener has at once; beyond it the one goes that has waited longest.
        waiting: those that have not yet said what they want, the oldest first.
    """

    most: int
    waiting: dict[PatientHttp, None]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Called by the transport at the start."""
        super().connection_made(transport)
        self._came = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._wait()
        if len(self.connections) > self.most:
            next(iter(self.waiting)).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Called by the transport when something came."""
        if self._deadline is None:
            self._wait()
        self._came += len(data)
        before = self.cycle
        # Asked before: what comes now may be the last of the body.
        uploading = before is not None and before.more_body
        super().data_received(data)
        begun = self.cycle is not before or uploading
        if begun and not self.cycle.more_body:
            self._done()
        elif not begun and self._came > _LONGEST_HEAD:
            self.transport.abort()

    def handle_websocket_upgrade(self, *arguments: Any) -> None:
        """Called when the connection is handed on."""
        self._done()
        super().handle_websocket_upgrade(*arguments)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport at the end."""
        self._done()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._came = 0
        self.waiting[self] = None
        self._deadline = asyncio.get_running_loop().call_later(_REQUEST_S, self._late)

    def _done(self) -> None:
        self.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        uploading = self.cycle is not None and self.cycle.more_body and not self.cycle.response_complete
        if uploading and self._came >= _FAIR_BYTES:
            self._wait()
            return
        if not uploading:
            self.transport.write(_TOO_SLOW)
        self.transport.close()


def patient_http(most: int) -> type[PatientHttp]:
    """The protocol of a listener with so many connections at most."""
    return type("ListenerHttp", (PatientHttp,), {"most": most, "waiting": {}})


class PatientWebSocket(_Taken, _WebSocket):  # type: ignore[misc]
    """WebSockets as uvicorn speaks them, for peers that take what they are sent."""
