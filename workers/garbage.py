"""When Python looks for garbage."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def collected_later() -> Iterator[Callable[[], None]]:
    """Leaves garbage alone while libraries and models are loaded: there is none, and to look takes a sixth of
    that time.

    Yields:
        To be called once all is loaded: garbage is collected from here on. The end of the block does so where
        nobody called it.
    """
    was_enabled = gc.isenabled()
    gc.disable()

    def collect() -> None:
        if was_enabled and not gc.isenabled():
            gc.enable()

    try:
        yield collect
    finally:
        collect()
