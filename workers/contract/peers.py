"""The replicas of a deployment that are alive, as Redis has seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.keys import LOADS, REPLICAS

# Those not seen for long go first, which also lets a server that is full take what comes after.
_SEEN = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[3])
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
local loads = redis.call('HMGET', KEYS[2], unpack(names))
if redis.call('HLEN', KEYS[2]) > #names then
    redis.call('DEL', KEYS[2])
    for i, name in ipairs(names) do if loads[i] then redis.call('HSET', KEYS[2], name, loads[i]) end end
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return {names, loads}
"""


@dataclass(frozen=True, slots=True)
class Alive:
    """The replicas that are alive.

    Attributes:
        names: of all, this one among them, in order.
        streams: what they said that they have to do, added up.
    """

    names: list[str]
    streams: int


class Peers:
    """Says that this replica is alive and how many streams it is to look after, and sees who else is.

    Args:
        client: of Redis.
        name: of this replica.
        ttl_s: seconds after which one that says nothing is taken for dead, as its leases are.
        keys: of the deployment, see `keys`.
    """

    def __init__(
        self, client: RedisClient, name: str, ttl_s: float, keys: tuple[str, str] = (REPLICAS, LOADS)
    ) -> None:
        self._keys = keys
        self._client: Any = client
        self._name = name
        self._ttl_ms = int(ttl_s * 1000)

    def look(self, streams: int) -> Alive:
        """Who is alive, when this one has so many streams.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        with redis_errors("see who else is there", server_name(self._client)):
            names, loads = run_script(self._client, _SEEN, self._keys, [self._name, streams, self._ttl_ms])
        return Alive(sorted(name.decode() for name in names), sum(int(load or 0) for load in loads))

    def leave(self) -> None:
        """This one ends.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        with redis_errors("leave the others", server_name(self._client)):
            self._client.zrem(self._keys[0], self._name)
