"""Messages that overtake each other on their way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from workers.inference.sequencer import Sequencer


async def let_through(sequencer: Sequencer, messages: Sequence[tuple[int, int]], fence: int = 1) -> list[int]:
    """Sends messages (first frame, frames) in this order; the first frames as they were let through."""
    order: list[int] = []

    async def send(first: int, count: int) -> None:
        async with sequencer.in_order("a", fence=fence, first=first, count=count):
            order.append(first)

    await asyncio.gather(*(send(*message) for message in messages))
    return order


class Log:
    """Where the stream stands."""

    def __init__(self, next_frame: int = 0) -> None:
        self.next_frame = next_frame
        self.asked = asyncio.Event()

    async def durable(self, _stream: str) -> int:
        self.asked.set()
        return self.next_frame


def test_messages_that_overtook_each_other_go_through_in_order() -> None:
    async def run() -> None:
        sequencer = Sequencer(Log().durable, patience_s=60)
        assert await let_through(sequencer, [(4, 4), (0, 4), (12, 4), (8, 4)]) == [0, 4, 8, 12]
        assert await let_through(sequencer, [(20, 4), (16, 4)]) == [16, 20]

    asyncio.run(run())


def test_a_stream_that_comes_from_another_replica_waits_for_nothing_that_is_durable() -> None:
    async def run() -> None:
        log = Log(next_frame=100)
        sequencer = Sequencer(log.durable, patience_s=60)
        assert await let_through(sequencer, [(104, 4), (100, 4)]) == [100, 104]
        log.next_frame = 200
        assert await let_through(sequencer, [(200, 4)]) == [200]

    asyncio.run(run())


def test_frames_sent_again_go_through_at_once() -> None:
    async def run() -> None:
        sequencer = Sequencer(Log(8).durable, patience_s=60)
        assert await let_through(sequencer, [(8, 4), (12, 4)]) == [8, 12]
        assert await let_through(sequencer, [(4, 4), (8, 4)]) == [4, 8]

    asyncio.run(run())


def test_what_comes_before_and_does_not_come_is_waited_for_no_longer_than_patience_lasts() -> None:
    async def run() -> None:
        sequencer = Sequencer(Log().durable, patience_s=0.05)
        # The log lost its data; the stream goes on at 40, in order all the same.
        assert await let_through(sequencer, [(44, 4), (40, 4)]) == [40, 44]

    asyncio.run(run())


def test_who_gives_up_does_not_stand_in_the_way() -> None:
    async def run() -> None:
        log = Log()
        sequencer = Sequencer(log.durable, patience_s=60)
        waiting = asyncio.ensure_future(let_through(sequencer, [(4, 4)]))
        await log.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await let_through(sequencer, [(0, 4), (4, 4)]) == [0, 4]

    asyncio.run(run())


def test_under_a_new_fence_a_stream_may_begin_anew() -> None:
    async def run() -> None:
        log = Log()
        sequencer = Sequencer(log.durable, patience_s=60)
        assert await let_through(sequencer, [(0, 4), (4, 4)]) == [0, 4]
        assert await let_through(sequencer, [(4, 4), (0, 4)], fence=2) == [0, 4]

    asyncio.run(run())
