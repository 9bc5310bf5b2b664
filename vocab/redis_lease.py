"""The right to publish, in Redis: only the server's clock counts, so no clock of a worker can hurt."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Protocol

from vocab.connection import RedisClient, server_name
from vocab.errors import StoreUnavailable
from vocab.keys import ScopeKeys
from vocab.redis_errors import redis_errors
from vocab.redis_memory import EVEN_WHEN_FULL
from vocab.scripts import run_for_each, run_script

# A server that lost its data counts fences from its clock (microseconds) on, so that none comes again.
# KEYS: the lease, the last fence. ARGV: the holder, how long it lasts in milliseconds.
ACQUIRE = (
    EVEN_WHEN_FULL.format(key="KEYS[2]")
    + """
local holder = redis.call('GET', KEYS[1])
if holder == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return redis.call('HGET', KEYS[2], 'token')
end
if holder then
    if redis.call('PTTL', KEYS[1]) < 0 then return 'foreign' end
    return false
end
local now = redis.call('TIME')
redis.call('HSETNX', KEYS[2], 'token', now[1] .. string.format('%06d', now[2]))
redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return redis.call('HGET', KEYS[2], 'token')
"""
)
_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class LeaseKeys(Protocol):
    """The keys of a lease, in one hash slot."""

    @property
    def lease(self) -> str:
        """Names the holder, while the lease lasts."""

    @property
    def last(self) -> str:
        """Hash whose field `token` is the last fence given out."""


class RedisLease:
    """A key that expires by the server's clock unless its holder renews it.

    Args:
        client: as `vocab.connection.connect` gives it.
        keys: of the lease; the name of a scope stands for the right to publish its words.
        ttl_s: seconds a lease lasts without being renewed.
        owner: shown as the holder; each lease is another holder, also with the same owner.

    Raises:
        VocabularyError: the scope's name cannot be a key.
    """

    def __init__(
        self, client: RedisClient, keys: str | LeaseKeys, ttl_s: float = 15.0, owner: str = ""
    ) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._keys = ScopeKeys(keys) if isinstance(keys, str) else keys
        self._ttl_ms = int(ttl_s * 1000)
        self._holder = f"{owner}#{secrets.token_hex(8)}"

    def acquire(self) -> int | None:
        """See `Lease`."""
        return self._fence(self._eval(ACQUIRE, self._keys.lease, self._keys.last))

    def _fence(self, fence: Any) -> int | None:
        if fence is None:
            return None
        if not fence.isdigit():
            raise StoreUnavailable(
                f"cannot take the lease {self._keys.lease}: {self._where} holds it without an end, "
                "so not vwt wrote it; delete it or use another scope"
            )
        return int(fence)

    def renew(self) -> bool:
        """See `Lease`."""
        return bool(self._eval(_RENEW, self._keys.lease))

    def release(self) -> None:
        """See `Lease`."""
        self._eval(_RELEASE, self._keys.lease)

    @classmethod
    def renew_all(cls, client: RedisClient, leases: Sequence[RedisLease]) -> list[bool]:
        """Renews many leases in one round trip; False for each that was lost.

        Raises:
            StoreUnavailable: Redis cannot do it now; some may have been renewed.
        """
        with redis_errors("renew the leases", server_name(client)):
            calls = [((lease._keys.lease,), (lease._holder, lease._ttl_ms)) for lease in leases]
            return [bool(answer) for answer in run_for_each(client, _RENEW, calls)]

    def _eval(self, script: str, *keys: str, more: Sequence[str] = ()) -> Any:
        with redis_errors(f"use the lease {self._keys.lease}", self._where):
            return run_script(self._client, script, keys, (self._holder, self._ttl_ms, *more))
