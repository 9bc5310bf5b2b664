"""A real HTTP server, in the clear or over TLS, that says who connected and where to go next."""

from __future__ import annotations

import functools
import ssl
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Site:
    """Serves a folder.

    Attributes:
        asked: method and path of each request.
        elsewhere: where `/elsewhere` leads.
        chunked: whether files come in chunks.
    """

    def __init__(self, folder: Path, host: str = "127.0.0.1", certificate: Path | None = None) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.elsewhere = ""
        self.chunked = False
        site = self

        class Handler(SimpleHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                if self.path.startswith("/elsewhere"):
                    self.send_response(302)
                    self.send_header("Location", site.elsewhere)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif site.chunked:
                    self._in_chunks(folder / self.path.lstrip("/"))
                else:
                    super().do_GET()

            def do_CONNECT(self) -> None:
                site.asked.append(f"{self.command} {self.path}")
                self.send_error(405)

            def _in_chunks(self, path: Path) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                data = path.read_bytes()
                for start in range(0, len(data), 1000):
                    part = data[start : start + 1000]
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((host, 0), functools.partial(Handler, directory=str(folder)))
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._host = host
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def url(self, path: str, host: str | None = None) -> str:
        return f"{self._scheme}://{host or self._host}:{self.port}/{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
