"""A terminal to run the command on."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.command import SOON_S, start

HIDE_CURSOR, SHOW_CURSOR = "\x1b[?25l", "\x1b[?25h"
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal of 100 x 30 characters that remembers what was written to it."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.text = ""

    def read_until(self, wanted: str) -> None:
        """Reads until `wanted` was shown."""
        while wanted not in CONTROL.sub("", self.text):
            assert self._read(), f"{wanted!r} was never shown: {self.text!r}"

    def read_to_end(self) -> str:
        """Everything, once the program has ended."""
        while self._read():
            pass
        return self.text

    def _read(self) -> bool:
        try:
            data = os.read(self.master, 4096)
        except OSError:  # how Linux says that nobody has the other end open any more
            return False
        self.text += data.decode()
        return bool(data)


@contextmanager
def on_a_terminal(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], Terminal]]:
    """Runs the command with its standard error on a terminal."""
    terminal = Terminal()
    process = start(*arguments, stderr=terminal.slave, stdout=subprocess.DEVNULL)
    os.close(terminal.slave)
    watchdog = threading.Timer(2 * SOON_S, process.kill)
    watchdog.start()
    try:
        yield process, terminal
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()
        os.close(terminal.master)
