"""Work beside inference that must not slow it down."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LOWEST_PRIORITY = 19


@contextmanager
def one_core() -> Iterator[None]:
    """Keeps torch to one core in the calling thread; other threads keep theirs.

    Threads that share a loop wait for each other in a spin. Where the cores are taken by something else,
    that costs more time than a second core saves, and takes it from what the cores were taken by.
    """
    # So that a thread can step back without it.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # torch also takes the number just set as the one for threads to come: tell it the old one again, from a
    # thread where that does no harm.
    other = threading.Thread(target=torch.set_num_threads, args=(threads,))
    other.start()
    other.join()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def step_back() -> None:
    """Gives the calling thread the lowest priority for the rest of its life.

    Linux only, where threads have priorities of their own; elsewhere nothing happens.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
