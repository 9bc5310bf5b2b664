"""A connection to Redis for those who start while Redis may be away."""

from __future__ import annotations

import threading

from vocab.connection import RedisClient, connect


class LazyClient:
    """One client for many threads, connected when it is first needed.

    Args:
        url: as `connect` takes it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._client: RedisClient | None = None

    def get(self) -> RedisClient:
        """The client; the same one for everybody once there is one.

        Raises:
            StoreUnavailable: Redis was never reached yet, and cannot be now.
            VocabularyError: the URL is none.
        """
        with self._lock:
            if self._client is None:
                self._client = connect(self._url)
            return self._client

    def close(self) -> None:
        """Closes the client if there is one."""
        with self._lock:
            if self._client is not None:
                self._client.close()
