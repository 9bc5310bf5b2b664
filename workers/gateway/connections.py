"""The gateway's connections to Redis, opened when first needed: it starts also while Redis is away."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

from vocab.connection import RedisClient, ping, server_name
from vocab.lazy_client import LazyClient
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.gateway.async_redis import AsyncRedis, asynchronous

# How long a tail waits in Redis; within it a client learns that its stream was removed.
BLOCK_S = 1.0

T = TypeVar("T")


class Connections:
    """A blocking client for short calls in threads, and an asyncio one to wait with.

    Args:
        url: as `vocab.connection.connect` takes it.
        waiting: most connections to wait with.
    """

    def __init__(self, url: str, waiting: int) -> None:
        self._client = LazyClient(url)
        self._waiting = waiting
        self._asynchronous: AsyncRedis | None = None

    async def call(self, function: Callable[[RedisClient], T]) -> T:
        """Runs a function of the blocking client in a thread.

        Raises:
            StoreUnavailable: Redis cannot be used now.
        """
        return await to_thread.run_sync(lambda: function(self._client.get()))

    async def spec(self, stream: str) -> StreamSpec:
        """What a stream is asked to be.

        Raises:
            NoStreamError: there is none of that id.
            StoreUnavailable: Redis cannot be used now.
        """
        return await self.call(lambda client: StreamStore(client).get(stream))

    async def ping(self) -> None:
        """Checks that Redis answers.

        Raises:
            StoreUnavailable: it does not.
        """
        await self.call(ping)

    async def asynchronous(self) -> AsyncRedis:
        """The client to wait with; of the running event loop, so of one loop only.

        Raises:
            StoreUnavailable: Redis was never reached yet.
        """
        if self._asynchronous is None:
            client = await to_thread.run_sync(self._client.get)
            # Somebody else may have been quicker meanwhile.
            self._asynchronous = self._asynchronous or asynchronous(client, BLOCK_S + 1.0, self._waiting)
        return self._asynchronous

    def where(self) -> str:
        """The server without credentials; after it was reached."""
        return server_name(self._client.get())

    async def close(self) -> None:
        """Closes them all."""
        if self._asynchronous is not None:
            await self._asynchronous.aclose()
        await to_thread.run_sync(self._client.close)
