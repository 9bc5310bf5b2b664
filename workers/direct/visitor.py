"""The end of a connection that calls; for one event loop, which never waits for it."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from typing import Any

from pipeline.errors import ServiceError
from workers.direct.receiver import Receiver


class GoneError(ServiceError):
    """The replica went away before it answered."""


class Visitor:
    """A connection to a replica; see `visitor_at`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = count()
        self.receiver = Receiver(self._took, self._lost)

    @property
    def open(self) -> bool:
        """Whether it can be used."""
        return not self.receiver.ended

    @property
    def under_way(self) -> int:
        """Calls that were not answered yet."""
        return len(self._calls)

    async def call(self, method: str, *arguments: Any) -> Any:
        """Calls a method; what it raises is raised here.

        Raises:
            GoneError: the replica went away before it answered.
        """
        if not self.open:
            raise _gone()
        number = next(self._numbers)
        answer = self._calls[number] = self._loop.create_future()
        try:
            self.receiver.send((number, method, arguments))
            return await answer
        finally:
            self._calls.pop(number, None)

    def _took(self, _: Receiver, message: tuple[int, Any, Exception | None]) -> None:
        number, value, error = message
        answer = self._calls.get(number)
        if answer is None or answer.done():
            # Who asked has left.
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def _lost(self, _: Receiver) -> None:
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(_gone())


async def visitor_at(path: Path) -> Visitor:
    """A connection to the replica that listens there.

    Raises:
        OSError: none does.
    """
    visitor = Visitor()
    await visitor._loop.create_unix_connection(lambda: visitor.receiver, str(path))
    return visitor


def _gone() -> GoneError:
    return GoneError("the replica that had the call went away; try again in a moment")
