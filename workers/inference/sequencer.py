"""Puts the messages of a stream back in order: calls through Serve may overtake each other on their way."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# How long a message waits for those before it. Who does not come by then was lost, or will be sent again.
_PATIENCE_S = 1.0
# Streams whose place is remembered; it can be asked for again.
_MOST_STREAMS = 4096


@dataclass(slots=True)
class _Queue:
    fence: int
    next_frame: int | None = None
    waiting: list[int] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)


class Sequencer:
    """Lets the messages of each stream through one at a time, in order. For one event loop.

    The log of a stream refuses a message that came too early, except the very first: there nothing is written
    that it could be too early for. So nothing here may be left to luck at a stream's beginning.

    Args:
        durable: gives the number of the frame after a stream's last durable result.
        patience_s: how long a message waits for those before it.
    """

    def __init__(self, durable: Callable[[str], Awaitable[int]], patience_s: float = _PATIENCE_S) -> None:
        self._durable = durable
        self._patience_s = patience_s
        self._queues: OrderedDict[str, _Queue] = OrderedDict()

    @asynccontextmanager
    async def in_order(self, stream: str, *, fence: int, first: int, count: int) -> AsyncIterator[None]:
        """Waits until the frames before `first` were let through, or for as long as patience lasts.

        Args:
            stream: whose frames they are.
            fence: of its lease; under another one it may begin anew.
            first, count: the frames of the message.

        Raises:
            StoreUnavailable: Redis cannot say where the stream stands.
        """
        queue = self._queue(stream, fence)
        async with queue.changed:
            queue.waiting.append(first)
            try:
                await self._wait(queue, stream, first)
                yield
                queue.next_frame = first + count
            finally:
                queue.waiting.remove(first)
                queue.changed.notify_all()

    def _queue(self, stream: str, fence: int) -> _Queue:
        queue = self._queues.get(stream)
        if queue is None or queue.fence != fence:
            queue = self._queues[stream] = _Queue(fence)
        self._queues.move_to_end(stream)
        if len(self._queues) > _MOST_STREAMS:
            self._queues.popitem(last=False)
        return queue

    async def _wait(self, queue: _Queue, stream: str, first: int) -> None:
        if queue.next_frame is None or first > queue.next_frame:
            # It may have been elsewhere meanwhile.
            queue.next_frame = max(queue.next_frame or 0, await self._durable(stream))
        while first > (queue.next_frame or 0):
            try:
                async with asyncio.timeout(self._patience_s):
                    await queue.changed.wait()
            except TimeoutError:
                if first <= min(queue.waiting):
                    return
