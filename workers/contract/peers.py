"""The replicas of a deployment that are alive, as Redis has seen them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.keys import LOADS, REPLICAS

# Those not seen for long go first, which also lets a server that is full take what comes after. Names are
# sent only to who does not have them, and loads added up only when a replica has come or gone, so that a
# look costs the same however many there are. Fields that begin with = are no names. A replica of the
# version before drops them, as it does those of the dead, and then they are found anew.
_SEEN = """
local now = redis.call('TIME')
local now_us = now[1] * 1000000 + now[2]
local now_ms = math.floor(now_us / 1000)
local gone = redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[3])
local came = redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
local count = redis.call('ZCARD', KEYS[1])
local known = redis.call('HMGET', KEYS[2], '=version', '=count', '=streams', ARGV[1])
local version, streams, names = known[1], nil, nil
if gone + came > 0 or not version or tonumber(known[2]) ~= count or not known[4] then
    names = redis.call('ZRANGE', KEYS[1], 0, -1)
    local loads = redis.call('HMGET', KEYS[2], unpack(names))
    redis.call('DEL', KEYS[2])
    streams = tonumber(ARGV[2])
    for i, name in ipairs(names) do
        if loads[i] and name ~= ARGV[1] then
            redis.call('HSET', KEYS[2], name, loads[i])
            streams = streams + loads[i]
        end
    end
    version = string.format('%.0f', math.max(now_us, (tonumber(version or 0)) + 1))
    redis.call('HSET', KEYS[2], '=version', version, '=count', count)
else
    streams = known[3] - known[4] + ARGV[2]
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2], '=streams', streams)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if version == ARGV[4] then return {version, streams} end
return {version, streams, names or redis.call('ZRANGE', KEYS[1], 0, -1)}
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
        self._names: list[str] = []
        # Of those names.
        self._version = b""

    def look(self, streams: int) -> Alive:
        """Who is alive, when this one has so many streams.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        with redis_errors("see who else is there", server_name(self._client)):
            mine = [self._name, streams, self._ttl_ms, self._version]
            self._version, total, *names = run_script(self._client, _SEEN, self._keys, mine)
        if names:
            self._names = sorted(name.decode() for name in names[0])
        return Alive(list(self._names), int(total))

    def leave(self) -> None:
        """This one ends.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        with redis_errors("leave the others", server_name(self._client)):
            self._client.zrem(self._keys[0], self._name)
