"""The replicas of Inference that a gateway calls straight: those on its own machine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pipeline.errors import UsageError
from workers.direct.visitor import Visitor, visitor_at
from workers.direct.wire import meeting_place

# Serve is asked for another replica so often while there are calls; one it does not name any more is left.
_ASK_EVERY_S = 1.0
_KNOWN_S = 15.0


class Replicas:
    """Finds the one with the fewest calls under way. For one event loop.

    Args:
        ask: calls some replica through Serve; {"replica", ...} of it.
    """

    def __init__(self, ask: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._ask = ask
        self._ask_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._known: dict[str, tuple[Visitor | None, float]] = {}

    def nearest(self) -> Visitor | None:
        """The connection to use now; None where none is known, as at first."""
        now = time.monotonic()
        if now >= self._ask_at and (self._asking is None or self._asking.done()):
            self._ask_at = now + _ASK_EVERY_S
            self._asking = asyncio.get_running_loop().create_task(self._look())
        near = [one for one, until in self._known.values() if one is not None and one.open and now < until]
        return min(near, key=lambda one: one.under_way, default=None)

    async def _look(self) -> None:
        try:
            replica = (await self._ask())["replica"]
        except Exception:
            # Whoever calls by Serve hears why.
            return
        now = time.monotonic()
        self._known = {name: one for name, one in self._known.items() if now < one[1]}
        visitor, _ = self._known.get(replica, (None, 0.0))
        if visitor is None or not visitor.open:
            visitor = await _visitor(replica)
        self._known[replica] = visitor, now + _KNOWN_S


async def _visitor(replica: str) -> Visitor | None:
    try:
        return await visitor_at(meeting_place(replica))
    except (OSError, UsageError):
        return None
