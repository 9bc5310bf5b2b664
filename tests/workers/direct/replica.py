"""A replica, as far as who calls it sees it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any


class Replica:
    """What a door leads to; `held` calls are answered once they are let go."""

    def __init__(self) -> None:
        self.free = asyncio.Event()

    async def echo(self, value: Any) -> Any:
        return value

    async def held(self) -> str:
        await self.free.wait()
        return "at last"

    async def refuse(self, error: Exception) -> None:
        raise error

    async def unspeakable(self) -> Any:
        return threading.Lock()
