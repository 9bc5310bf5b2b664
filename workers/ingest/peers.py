"""The replicas of Ingest that are alive, as Redis has seen them."""

from __future__ import annotations

from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from workers.contract.keys import REPLICAS

# Those not seen for long go first, which also lets a server that is full take what comes after.
_SEEN = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[2])
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class Peers:
    """Says that this replica is alive, and counts who else is.

    Args:
        client: of Redis.
        name: of this replica.
        ttl_s: seconds after which one that says nothing is taken for dead, as its leases are.
    """

    def __init__(self, client: RedisClient, name: str, ttl_s: float) -> None:
        self._client: Any = client
        self._name = name
        self._ttl_ms = int(ttl_s * 1000)

    def count(self) -> int:
        """How many are alive, this one among them.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        with redis_errors("count the replicas that read streams", server_name(self._client)):
            return int(self._client.eval(_SEEN, 1, REPLICAS, self._name, self._ttl_ms))

    def leave(self) -> None:
        """This one ends.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        with redis_errors("leave the replicas that read streams", server_name(self._client)):
            self._client.zrem(REPLICAS, self._name)
