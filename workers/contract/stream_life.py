"""From when to when a stream is there, in its own hash slot: nothing of one outlives it, or begins the next.

The list of streams and the keys of a stream may lie on different nodes of a Redis Cluster, so no step can see
both. Instead the keys of a stream say which generation of its name they are of, and which was removed:
its lease is given out for one generation, in the same step that looks.
"""

from __future__ import annotations

from typing import Any

from vocab.connection import RedisClient
from vocab.redis_lease import ACQUIRE, RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec

# KEYS: lease, last, and what a stream writes.
_BEGIN = """
local function begin(generation)
    redis.call('DEL', KEYS[1], unpack(KEYS, 3))
    if redis.call('HEXISTS', KEYS[2], 'token') == 1 then redis.call('HINCRBY', KEYS[2], 'token', 1) end
    redis.call('HSET', KEYS[2], 'generation', generation)
    redis.call('HDEL', KEYS[2], 'gone')
    redis.call('PERSIST', KEYS[2])
end
local known, gone = redis.call('HGET', KEYS[2], 'generation'), redis.call('HGET', KEYS[2], 'gone')
"""
# Somebody may have claimed it by now: it is in the list before it is begun.
_ADD = (
    _BEGIN
    + """
if known ~= ARGV[1] or gone then begin(ARGV[1]) end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[3], unpack(ARGV, 2)) end
"""
)
# Whoever added it may have died before it was begun. What was written by a version that knew no generations,
# or to a Redis that lost its data, is of the one that is claimed.
_CLAIM = (
    _BEGIN
    + """
if gone == ARGV[3] or (known and not gone and known ~= ARGV[3]) then return false end
if gone then begin(ARGV[3]) end
redis.call('HSET', KEYS[2], 'generation', ARGV[3])
"""
    + ACQUIRE
)
# The fence grows, so whoever still runs the stream can write nothing more.
_REMOVE = """
local generation = redis.call('HGET', KEYS[2], 'generation')
if generation and generation ~= ARGV[1] then return end
redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('HSET', KEYS[2], 'generation', ARGV[1], 'gone', ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1], unpack(KEYS, 3))
"""
# Longer than any batch of the stream can be under way.
_FENCED_MS = 24 * 3600 * 1000


def begin(client: RedisClient, spec: StreamSpec, status: dict[str, str]) -> None:
    """Begins a generation with such a status, unless it has one already."""
    fields = [part for item in status.items() for part in item]
    _eval(client, _ADD, spec, generation(spec), *fields)


def end(client: RedisClient, spec: StreamSpec) -> None:
    """Removes all that a generation wrote; nothing more can be written for it."""
    _eval(client, _REMOVE, spec, generation(spec), _FENCED_MS)


def generation(spec: StreamSpec) -> str:
    """Tells streams of one name apart."""
    return repr(spec.created_at)


class StreamLease(RedisLease):
    """The right to read a stream; refused once that stream was removed, also when another has its name.

    Args:
        client: as `vocab.connection.connect` gives it.
        spec: of the stream.
        ttl_s: seconds it lasts without being renewed.
        owner: shown as the holder.
    """

    def __init__(self, client: RedisClient, spec: StreamSpec, ttl_s: float = 15.0, owner: str = "") -> None:
        super().__init__(client, StreamKeys(spec.id), ttl_s, owner)
        self._spec = spec

    def acquire(self) -> int | None:
        """See `Lease`."""
        return self._fence(self._eval(_CLAIM, *_keys(self._spec), more=(generation(self._spec),)))


def _eval(client: Any, script: str, spec: StreamSpec, *arguments: Any) -> None:
    keys = _keys(spec)
    client.eval(script, len(keys), *keys, *arguments)


def _keys(spec: StreamSpec) -> tuple[str, ...]:
    keys = StreamKeys(spec.id)
    written = (keys.state, keys.results, keys.energy, keys.events, keys.preview, keys.sinks, keys.bill)
    return (keys.lease, keys.last, *written)
