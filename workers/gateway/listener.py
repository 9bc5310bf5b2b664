"""The gateway's own HTTP server, where nothing of Serve's stands before it."""

from __future__ import annotations

import socket
import threading

import uvicorn
from fastapi import FastAPI

from pipeline.errors import ServiceError
from workers.gateway.patience import PatientWebSocket, patient_http

_BACKLOG = 2048


class Listener:
    """Serves an application in a thread of its own. Several share a port; the system deals out connections.

    Args:
        app: to serve.
        host, port: where; a free port for 0.
        most: connections at once; one more ends the one that has said nothing for longest.
        leave_s: how long `close` lets requests end.

    Raises:
        ServiceError: the address cannot be bound.
    """

    def __init__(self, app: FastAPI, host: str, port: int, most: int, leave_s: float) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._socket = socket.create_server(
                (host, port), family=family, backlog=_BACKLOG, reuse_port=hasattr(socket, "SO_REUSEPORT")
            )
        except OSError as error:
            raise ServiceError(
                f"cannot listen at {host}, port {port} ({error.strerror}); choose another --port"
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                http=patient_http(most),
                ws=PatientWebSocket,
                timeout_graceful_shutdown=max(1, round(leave_s)),
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="vwt-http", daemon=True
        )
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive()

    @property
    def connections(self) -> int:
        """How many there are now, WebSockets too."""
        return len(self._server.server_state.connections)

    def close(self) -> None:
        """Takes no more requests, and waits for those under way for a while."""
        self._server.should_exit = True
        self._thread.join()
