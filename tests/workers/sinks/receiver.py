"""A real HTTP server that takes results, or refuses to for a while."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """Takes what is posted, answering with `status`.

    Attributes:
        status: of the answers from now on.
        requests: headers and body of each request that was taken.
        refused: set once a request was answered with another status than 2xx.
    """

    def __init__(self, port: int = 0) -> None:
        self.status = 200
        self.requests: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.refused = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = receiver.status
                if status < 300:
                    receiver.requests.append((dict(self.headers), body))
                else:
                    receiver.refused.set()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def frames(self) -> list[int]:
        """Numbers of the frames that were taken, in order."""
        return [result["frame"] for _, body in self.requests for result in body["results"]]

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
