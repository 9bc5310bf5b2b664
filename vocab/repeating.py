"""Work that is done again and again in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Repeating:
    """Calls `step` every so often, until it is stopped.

    Args:
        step: the work; it must not raise.
        every_s: seconds from the end of one call to the start of the next.
        name: of the thread.
        before: called once in the thread, before the first step.
    """

    def __init__(
        self,
        step: Callable[[], None],
        every_s: float,
        name: str,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._step = step
        self._every_s = every_s
        self._before = before
        self._wake = threading.Event()
        self._name = name
        self._thread: threading.Thread | None = None
        self.stopping = False

    def start(self) -> None:
        """Begins with a step at once."""
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Lets the next step begin now; may be called from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Ends the thread after the step under way; `stopping` tells a long one to end early."""
        self.stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        self._before()
        while not self.stopping:
            self._step()
            self._wake.wait(self._every_s)
            self._wake.clear()
