"""The end of a connection that calls; for any number of threads."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError, UsageError
from workers.direct.wire import COUNT, meeting_place, packed, sizes_of, table_bytes, unpacked

_LOG = logging.getLogger("vwt.direct")
# A replica that takes nothing for so long is given up.
_TAKES_WITHIN_S = 20
# One that stands still lets nobody in.
_ANSWERS_WITHIN_S = 1.0
# How soon a replica is called again that could not be reached.
_AGAIN_S = 5.0


class Call:
    """A call under way, as a handle of Serve gives it."""

    def __init__(self) -> None:
        self.future: Future[Any] = Future()

    def result(self, *, timeout_s: float | None = None) -> Any:
        """The value; TimeoutError when there is none yet.

        Raises:
            ServiceError: the replica went away before it answered.
        """
        return self.future.result(timeout_s)


class Line:
    """A connection to a replica.

    Args:
        path: where it listens.

    Attributes:
        under_way: calls that were not answered yet.

    Raises:
        OSError: it does not.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWERS_WITHIN_S)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        # For what is sent alone: answers may take as long as they need.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _TAKES_WITHIN_S, 0))
        self._calls: dict[int, Call] = {}
        self._numbers = count()
        self._sending = threading.Lock()
        self._closed = False
        threading.Thread(target=self._receive, name="vwt-answers", daemon=True).start()

    @property
    def open(self) -> bool:
        """Whether it can be used."""
        return not self._closed

    @property
    def under_way(self) -> int:
        return len(self._calls)

    def call(self, method: str, *arguments: Any) -> Call:
        """Calls a method; fails in the answer only."""
        call, number = Call(), next(self._numbers)
        parts = packed((number, method, arguments))
        self._calls[number] = call
        try:
            with self._sending:
                for part in parts:
                    self._socket.sendall(part)
        except OSError:
            self.close()
        if self._closed:
            self._fail()
        return call

    def close(self) -> None:
        """Ends it; what is under way fails."""
        self._closed = True
        with suppress(OSError):
            # Wakes the thread, which closes it.
            self._socket.shutdown(socket.SHUT_RDWR)

    def _receive(self) -> None:
        try:
            while True:
                table = self._read(table_bytes(self._read(COUNT.size)))
                sizes = sizes_of(table)
                number, value, error = unpacked(self._read(sum(sizes)), sizes)
                call = self._calls.pop(number)
                if error is None:
                    call.future.set_result(value)
                else:
                    # A TimeoutError would say that there is no answer yet.
                    late = isinstance(error, TimeoutError)
                    call.future.set_exception(ServiceError(str(error)) if late else error)
        except EOFError:
            pass
        except Exception as error:
            _LOG.warning("a connection to Inference has ended: %s", error)
        finally:
            self._closed = True
            self._fail()
            with self._sending:
                self._socket.close()

    def _read(self, size: int) -> bytearray:
        body = bytearray(size)
        view = memoryview(body)
        while view:
            taken = self._socket.recv_into(view)
            if not taken:
                raise EOFError
            view = view[taken:]
        return body

    def _fail(self) -> None:
        while self._calls:
            with suppress(KeyError):  # another thread took it
                _, call = self._calls.popitem()
                call.future.set_exception(ServiceError("the replica that had the call went away"))


class Lines:
    """Connections to replicas on this machine, made as they are needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        self._not_before: dict[str, float] = {}

    def to(self, replica: str) -> Line | None:
        """The connection to a replica; None where there can be none, as to one on another machine."""
        line = self._lines.get(replica)
        if line is not None and line.open:
            return line
        with self._lock:
            line = self._lines.get(replica)
            now = time.monotonic()
            if line is not None and line.open:
                return line
            if now < self._not_before.get(replica, 0.0):
                return None
            # One that has ended is not made anew at once, either: whatever ended it may still be so.
            self._not_before = {name: until for name, until in self._not_before.items() if now < until}
            self._not_before[replica] = now + _AGAIN_S
            lines = {name: one for name, one in self._lines.items() if one.open}
            with suppress(OSError, UsageError):
                lines[replica] = Line(meeting_place(replica))
            self._lines = lines
            return lines.get(replica)

    def close(self) -> None:
        """Ends all of them."""
        with self._lock:
            for line in self._lines.values():
                line.close()
