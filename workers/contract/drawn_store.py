"""What people drew for a stream while watching, by name, in Redis.

The spec of a stream has what follows from it. Here is what that is made of, so that an example may be added
or taken back.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.redis_memory import EVEN_WHEN_FULL
from workers.contract.keys import StreamKeys
from workers.contract.stream_life import generation
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import NoStreamError

Vector = npt.NDArray[np.float32]
T = TypeVar("T")

# Compare and set for the generation that is there; taking away must not fail when Redis is full.
_REPLACE = (
    EVEN_WHEN_FULL.format(key="KEYS[1]")
    + """
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return -1 end
if redis.call('HEXISTS', KEYS[1], 'gone') == 1 then return -1 end
if (redis.call('HGET', KEYS[2], ARGV[2]) or '') ~= ARGV[3] then return 0 end
if ARGV[4] == '' then redis.call('HDEL', KEYS[2], ARGV[2])
else redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
return 1
"""
)


class DrawnStore(Generic[T]):
    """Things of one kind that were drawn. Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        spec: of the stream: nothing is written for one that was removed, or has come after it.
        kind: what they are, for errors.
        key: of their hash, by name.
        read: makes one of its JSON.
        written: its JSON, the same for the same.
    """

    def __init__(
        self,
        client: RedisClient,
        spec: StreamSpec,
        kind: str,
        key: str,
        read: Callable[[bytes], T],
        written: Callable[[T], str],
    ) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._last = StreamKeys(spec.id).last
        self._spec = spec
        self._kind = kind
        self._key = key
        self._read = read
        self._written = written

    def all(self) -> dict[str, T]:
        """Every one by name."""
        return self.read(self.texts())

    def read(self, texts: Mapping[bytes, bytes]) -> dict[str, T]:
        """Every one by name, as `texts` gave them."""
        return {name.decode(): self._read(text) for name, text in sorted(texts.items())}

    def texts(self) -> Mapping[bytes, bytes]:
        """The same as it is written: alike only where nothing was changed."""
        with redis_errors(f"read the {self._kind} of {self._spec.id}", self._where):
            found: Mapping[bytes, bytes] = self._client.hgetall(self._key)
        return found

    def change(self, name: str, change: Callable[[T | None], T | None]) -> T | None:
        """Changes one, however many do so at once.

        Args:
            name: of it.
            change: gives the new one of the present one, None for none; may be called again.

        Raises:
            NoStreamError: the stream was removed.
        """
        while True:
            with redis_errors(f"change the {self._kind} of {self._spec.id}", self._where):
                before = self._client.hget(self._key, name)
            made = change(None if before is None else self._read(before))
            texts = (before or "", "" if made is None else self._written(made))
            keys = (self._last, self._key)
            with redis_errors(f"change the {self._kind} of {self._spec.id}", self._where):
                done = self._client.eval(_REPLACE, len(keys), *keys, generation(self._spec), name, *texts)
            if done < 0:
                raise NoStreamError(f"the stream {self._spec.id!r} was removed meanwhile")
            if done:
                return made


def packed(data: bytes) -> str:
    """Bytes as JSON can hold them."""
    return base64.b64encode(data).decode()


def vector_of(text: str) -> Vector:
    """A vector whose bytes were `packed`."""
    return np.frombuffer(base64.b64decode(text), np.float32)
