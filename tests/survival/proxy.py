"""A TCP proxy that makes what it carries late."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import deque


class LateProxy:
    """Passes bytes on, both ways, after `delay_s`, which may be changed at any time."""

    def __init__(self, port: int) -> None:
        self.delay_s = 0.0
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            near.close()
            return
        late: deque[tuple[float, socket.socket, bytes]] = deque()
        with near, far, selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            try:
                while True:
                    wait = max(late[0][0] - time.monotonic(), 0) if late else None
                    for key, _ in selector.select(wait):
                        assert isinstance(key.fileobj, socket.socket)
                        data = key.fileobj.recv(65536)
                        if not data:
                            return
                        late.append((time.monotonic() + self.delay_s, key.data, data))
                    while late and late[0][0] <= time.monotonic():
                        _, to, data = late.popleft()
                        to.sendall(data)
            except OSError:
                return
