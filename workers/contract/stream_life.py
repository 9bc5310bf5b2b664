"""From when to when a stream is there, in its own hash slot: nothing of one outlives it, or begins the next.

The list of streams and the keys of a stream may lie on different nodes of a Redis Cluster, so no step can see
both. Instead the keys of a stream say which generation of its name they are of, and which was removed:
its lease is given out for one generation, in the same step that looks.
"""

from __future__ import annotations

import math
from typing import Any

from vocab.connection import RedisClient
from vocab.redis_lease import ACQUIRE, RedisLease
from vocab.redis_memory import EVEN_WHEN_FULL
from vocab.scripts import run_script
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec


def _life(asked: str) -> str:
    """The start of each script: what it needs to know of the generation that it is for.

    Generations grow (see `after`), so whatever comes late, a claim, an adding or a removal that was held up
    on its way, is known to be of one that is over. KEYS: lease, last, and what a stream writes.
    """
    return f"""
{EVEN_WHEN_FULL.format(key="KEYS[2]")}
local generation = {asked}
local known = tonumber(redis.call('HGET', KEYS[2], 'generation'))
local gone = redis.call('HEXISTS', KEYS[2], 'gone') == 1
local asked = tonumber(generation)
local over = known and (asked < known or (asked == known and gone))
local function begin()
    redis.call('DEL', KEYS[1], unpack(KEYS, 3))
    if redis.call('HEXISTS', KEYS[2], 'token') == 1 then redis.call('HINCRBY', KEYS[2], 'token', 1) end
    redis.call('HSET', KEYS[2], 'generation', generation)
    redis.call('HDEL', KEYS[2], 'gone')
    redis.call('PERSIST', KEYS[2])
end
"""


# Somebody may have claimed it by now: it is in the list before it is begun.
_ADD = (
    _life("ARGV[1]")
    + """
if over then return redis.call('HGET', KEYS[2], 'generation') end
if asked ~= known then begin() end
if redis.call('EXISTS', KEYS[3]) == 0 then redis.call('HSET', KEYS[3], unpack(ARGV, 2)) end
return false
"""
)
# Whoever added it may have died before it was begun. What was written by a version that knew no generations,
# or to a Redis that lost its data, is of the one that is claimed.
_CLAIM = (
    _life("ARGV[3]")
    + """
if over then return false end
if known and asked ~= known then begin() end
redis.call('HSET', KEYS[2], 'generation', generation)
"""
    + ACQUIRE
)
# The fence grows, so whoever still runs the stream can write nothing more.
_REMOVE = (
    _life("ARGV[1]")
    + """
if known and asked < known then return end
redis.call('HINCRBY', KEYS[2], 'token', 1)
redis.call('HSET', KEYS[2], 'generation', generation, 'gone', 1)
redis.call('PEXPIRE', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[1], unpack(KEYS, 3))
"""
)
# Longer than any batch of the stream can be under way.
_FENCED_MS = 24 * 3600 * 1000


def begin(client: RedisClient, spec: StreamSpec, status: dict[str, str]) -> float | None:
    """Begins a generation with such a status, unless it has one already.

    Returns:
        None, or the generation that came after it: this one is over.
    """
    fields = [part for item in status.items() for part in item]
    newest = _eval(client, _ADD, spec, generation(spec), *fields)
    return None if newest is None else float(newest)


def after(spec: StreamSpec, begun: float) -> StreamSpec:
    """The same stream as a generation after such a one, however the clocks differ that made both."""
    later = max(spec.created_at, math.nextafter(begun, math.inf))
    return spec.model_copy(update={"created_at": later})


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


def _eval(client: RedisClient, script: str, spec: StreamSpec, *arguments: Any) -> Any:
    return run_script(client, script, _keys(spec), arguments)


def _keys(spec: StreamSpec) -> tuple[str, ...]:
    keys = StreamKeys(spec.id)
    written = (keys.state, keys.results, keys.energy, keys.events, keys.preview, keys.sinks, keys.bill)
    happened = (keys.happened, keys.looked, keys.snapshots, keys.snapshot_ids)
    seen = (keys.history, keys.pictures, keys.zones, keys.classes)
    return (keys.lease, keys.last, *written, *happened, *seen)
