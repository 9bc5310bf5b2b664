"""A few threads for many streams: what belongs to one stream is done in order, one thing at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]


class Lanes:
    """Runs tasks; those of one lane one after the other, in the order given. Tasks must not raise.

    Args:
        threads: how many lanes move at once.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lanes: dict[str, deque[Task]] = {}
        self._lock = threading.Lock()

    def submit(self, lane: str, task: Task) -> None:
        """Queues a task behind those of its lane."""
        with self._lock:
            waiting = self._lanes.get(lane)
            if waiting is not None:
                waiting.append(task)
                return
            self._lanes[lane] = deque([task])
        self._pool.submit(self._step, lane)

    def close(self) -> None:
        """Waits until everything is done."""
        while True:
            with self._lock:
                if not self._lanes:
                    break
                finished = threading.Event()
                self._lanes[next(iter(self._lanes))].append(finished.set)
            finished.wait()
        self._pool.shutdown()

    def _step(self, lane: str) -> None:
        with self._lock:
            task = self._lanes[lane][0]
        try:
            task()
        finally:
            with self._lock:
                waiting = self._lanes[lane]
                waiting.popleft()
                more = bool(waiting)
                if not more:
                    del self._lanes[lane]
            # Behind the tasks of other lanes, so that a busy one does not keep a thread to itself.
            if more:
                self._pool.submit(self._step, lane)
