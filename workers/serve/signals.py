"""How a service that runs until it is told to stop is told so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_STDERR_FD = 2


class Stop(BaseException):
    """Somebody pressed Ctrl-C or sent SIGTERM; raised in the main thread, wherever it is."""


class Signals:
    """The first Ctrl-C or SIGTERM raises `Stop`, the second ends the process at once with 130."""

    def __init__(self) -> None:
        self._told = False

    def listen(self) -> None:
        """Takes the signals, also from a library that took them since; call it from the main thread.

        Raises:
            Stop: there was one already, and a library kept it from getting here.
        """
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if self._told:
            raise Stop

    @contextmanager
    def quiet_end(self) -> Iterator[None]:
        """Ends the block where `Stop` was raised, as if it were done."""
        try:
            yield
        except Stop:
            pass

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._told:
            if os.isatty(_STDERR_FD):
                # The status line hides the cursor.
                os.write(_STDERR_FD, b"\x1b[?25h\n")
            os._exit(130)
        self._told = True
        raise Stop
