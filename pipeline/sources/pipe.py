"""A named pipe, read so that waiting for its writer can be ended at any time."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

# How long a wait goes on at most before it is seen that it is no longer wanted.
_LOOK_UP_S = 0.25


class Pipe:
    """A file for FFmpeg, which itself would wait in the system for ever, and its thread with it.

    Args:
        path: of the pipe.
        open_timeout_s: how long a writer may take to send its first bytes.
    """

    def __init__(self, path: Path, open_timeout_s: float) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._until_s: float | None = time.monotonic() + open_timeout_s
        self._unwanted = threading.Event()
        self._closed = False

    def read(self, size: int) -> bytes:
        """At most so many bytes; none at the end, or when they are no longer wanted.

        Raises:
            TimeoutError: nobody wrote anything in time.
        """
        ready = select.poll()
        ready.register(self._fd, select.POLLIN)
        while not self._unwanted.is_set():
            if self._until_s is not None and time.monotonic() > self._until_s:
                raise TimeoutError
            # Before the first writer there is no event at all, after the last a hang-up.
            if not ready.poll(_LOOK_UP_S * 1000):
                continue
            try:
                data = os.read(self._fd, size)
            except BlockingIOError:
                continue
            self._until_s = None
            return data
        return b""

    def interrupt(self) -> None:
        """Ends a read that waits; called from any thread."""
        self._unwanted.set()

    def close(self) -> None:
        """Lets go of the pipe; no read may be under way."""
        if not self._closed:
            self._closed = True
            os.close(self._fd)
