"""Work that blocks in a library, done with a deadline of our own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def within(timeout_s: float, work: Callable[[], T], discard: Callable[[T], None]) -> T:
    """Does `work` in a thread of its own and returns what it returns.

    A result that comes too late is given to `discard`, in that thread.

    Raises:
        TimeoutError: it was not done within `timeout_s` seconds; the thread is left to itself.
        Exception: whatever `work` raised.
    """
    job = _Job(work, discard)
    threading.Thread(target=job.run, name="open-source", daemon=True).start()
    return job.result(timeout_s)


class _Job(Generic[T]):
    def __init__(self, work: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._work = work
        self._discard = discard
        self._change = threading.Condition()
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._too_late = False

    def run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:
            with self._change:
                self._error = error
                self._change.notify()
            return
        with self._change:
            if not self._too_late:
                self._results.append(result)
                self._change.notify()
                return
        self._discard(result)

    def result(self, timeout_s: float) -> T:
        with self._change:
            if not self._change.wait_for(lambda: self._results or self._error, timeout_s):
                self._too_late = True
                raise TimeoutError
            if self._error is not None:
                raise self._error
            return self._results[0]
