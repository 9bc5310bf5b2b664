"""The stack on which a thread handles signals, kept from libraries that set one of their own."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Elsewhere OpenVINO sets none.
_SET_BY_OPENVINO = sys.platform == "linux" and platform.machine() == "x86_64"


class _Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("bytes", ctypes.c_size_t)]


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Gives the calling thread back the signal stack that it had before the block, or none.

    OpenVINO's plugin for the CPU sets a stack of its own for the thread that loads it, and frees it with the
    plugin. Where that ends in another thread, or several end in the order in which they began, the thread is
    left with one that is no more, and the next signal, such as Ctrl-C, crashes the process.
    """
    before = signal_stack()
    try:
        yield
    finally:
        if before is not None:
            # Refused where the processor's state no longer fits on it; then the new one stays.
            ctypes.CDLL(None).sigaltstack(ctypes.byref(before), None)


def signal_stack() -> _Stack | None:
    """That of the calling thread; None where nobody would set another."""
    if not _SET_BY_OPENVINO:
        return None
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack
