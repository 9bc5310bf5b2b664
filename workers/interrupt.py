"""Ctrl-C before a command is ready for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def noted_interrupt() -> Iterator[threading.Event]:
    """Raises KeyboardInterrupt as Python does, and remembers it.

    A library may make an error of its own of it, as pydantic does while it builds a schema (SchemaError), and
    that says nothing of Ctrl-C.

    Yields:
        Set once Ctrl-C was pressed; never where others take the signal, or none may.
    """
    told = threading.Event()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        told.set()
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield told
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield told
    finally:
        # Not where the command has taken it since.
        if signal.getsignal(signal.SIGINT) is interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)
