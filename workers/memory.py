"""Gives memory that is free, but kept by the allocator, back to the system."""

from __future__ import annotations

import ctypes
import sys
import time


class Trimmer:
    """Gives memory back after work that leaves holes in it, such as decoders that come and go.

    glibc keeps what is freed between what is still in use: after 1,000 streams had come and gone, eight at a
    time, a process of 273 MB held 644. Other systems' allocators are left to themselves.

    Args:
        every_s: seconds between two times; it takes some milliseconds.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._due = False
        self._next = 0.0
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None

    def note(self) -> None:
        """Something was freed; from any thread."""
        self._due = True

    def step(self) -> bool:
        """Gives back what there is, if that is due and it is time; whether it did."""
        now = time.monotonic()
        if not self._due or now < self._next or self._trim is None:
            return False
        self._due, self._next = False, now + self._every_s
        self._trim(0)
        return True
