"""A few threads for many streams: what belongs to one stream is done in order, one thing at a time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

Task = Callable[[], None]


class KeyedExecutor:
    """Runs tasks; those of one key one after the other, in the order given. Tasks must not raise.

    Args:
        threads: how many keys are worked on at once.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._queues: dict[str, deque[Task]] = {}
        self._lock = threading.Lock()

    def submit(self, key: str, task: Task) -> None:
        """Queues a task behind those of its key."""
        with self._lock:
            queue = self._queues.get(key)
            if queue is not None:
                queue.append(task)
                return
            self._queues[key] = deque([task])
        self._pool.submit(self._step, key)

    def close(self) -> None:
        """Waits until everything is done."""
        while True:
            with self._lock:
                if not self._queues:
                    break
                finished = threading.Event()
                self._queues[next(iter(self._queues))].append(finished.set)
            finished.wait()
        self._pool.shutdown()

    def _step(self, key: str) -> None:
        with self._lock:
            task = self._queues[key][0]
        try:
            task()
        finally:
            with self._lock:
                queue = self._queues[key]
                queue.popleft()
                more = bool(queue)
                if not more:
                    del self._queues[key]
            # Behind the tasks of other keys, so that a busy one does not keep a thread to itself.
            if more:
                self._pool.submit(self._step, key)
