"""The events of a stream in Redis, appended under its lease together with how far its results were looked at.

What is kept is bounded: so many events, so many of their pictures. An entry has the id "ms-n": when it was
noted, in Unix milliseconds that no other of the stream has, and its number, from 1 on without gaps.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.errors import VwtError
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from workers.contract.fenced import CHECK_FENCE, run_fenced
from workers.contract.keys import StreamKeys

_BEGIN = (
    CHECK_FENCE
    + """
if redis.call('HEXISTS', KEYS[2], 'frames') == 0 then
    redis.call('HSET', KEYS[2], 'frames', ARGV[2], 'state', ARGV[3], 'version', 0, 'number', 0)
end
return redis.call('HMGET', KEYS[2], 'frames', 'state', 'version')
"""
)
# Of a write whose answer was lost, the second try finds another version.
_APPEND = (
    CHECK_FENCE
    + """
if redis.call('HGET', KEYS[2], 'version') ~= ARGV[2] then return {err = 'STALE'} end
local events, number = tonumber(ARGV[8]), tonumber(redis.call('HGET', KEYS[2], 'number'))
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)
local last = newest[1] and tonumber(string.match(newest[1][1], '^(%d+)')) or 0
local ms = math.max(tonumber(ARGV[7]), last + 1)
for i = 9, 8 + events do
    number = number + 1
    redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[5], string.format('%.0f-%d', ms, number), 'event', ARGV[i])
    ms = ms + 1
end
for i = 9 + events, #ARGV, 2 do
    redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1])
    redis.call('RPUSH', KEYS[5], ARGV[i])
end
while redis.call('LLEN', KEYS[5]) > tonumber(ARGV[6]) do
    redis.call('HDEL', KEYS[4], redis.call('LPOP', KEYS[5]))
end
redis.call('HINCRBY', KEYS[2], 'version', 1)
redis.call('HSET', KEYS[2], 'frames', ARGV[3], 'state', ARGV[4], 'number', number)
"""
)
NONE = "0-0"


class StaleError(VwtError):
    """Somebody wrote meanwhile, or our own last write arrived; nothing was written. Read again."""


@dataclass(frozen=True, slots=True)
class Looked:
    """How far a stream's results were looked at.

    Attributes:
        frames: results of frames below it.
        state: of `pipeline.events.Engine`; None before the first.
        version: counts writes.
    """

    frames: int
    state: dict[str, Any] | None
    version: int


class EventLog:
    """Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        stream: id of the stream.
        kept, pictures: how many events, and pictures of them, Redis keeps.
    """

    def __init__(self, client: RedisClient, stream: str, kept: int = 1, pictures: int = 1) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._keys = StreamKeys(stream)
        self._kept, self._pictures = kept, pictures

    def begin(self, fence: int, frames: int, state: Mapping[str, Any] | None) -> Looked:
        """Where to go on.

        Args:
            fence: fencing token of the stream's lease.
            frames, state: where to begin if nobody did, or Redis has lost it.

        Raises:
            FencedError: a newer fence was given out.
        """
        found = self._run(_BEGIN, fence, frames, json.dumps(state))
        return Looked(int(found[0]), json.loads(found[1]), int(found[2]))

    def append(
        self,
        fence: int,
        before: Looked,
        after: Looked,
        events: Sequence[Mapping[str, Any]],
        pictures: Mapping[str, bytes],
    ) -> None:
        """Appends events in one step with what they were made of.

        Args:
            fence: fencing token of the stream's lease.
            before: as `begin` gave it, or as `after` was in the last call.
            after: what is true with them.
            events: in order.
            pictures: JPEG by id of the event.

        Raises:
            FencedError: a newer fence was given out.
            StaleError: `before` is not what Redis has.
        """
        texts = [json.dumps(event, separators=(",", ":"), allow_nan=False) for event in events]
        shots = [part for item in pictures.items() for part in item]
        arguments = (before.version, after.frames, json.dumps(after.state), self._kept, self._pictures)
        self._run(_APPEND, fence, *arguments, int(time.time() * 1000), len(texts), *texts, *shots)

    def after(self, entry: str, count: int) -> list[tuple[str, bytes]]:
        """Entry ids and JSON of the events behind an entry, oldest first."""
        with redis_errors(f"read events of {self._keys.stream}", self._where):
            found = self._client.xrange(self._keys.happened, min=f"({entry}", count=count)
        return [(entry.decode(), fields[b"event"]) for entry, fields in found]

    def picture(self, event: str) -> bytes | None:
        """JPEG of an event; None where there is none, or it is kept no longer."""
        with redis_errors(f"read events of {self._keys.stream}", self._where):
            found: bytes | None = self._client.hget(self._keys.snapshots, event)
        return found

    def _run(self, script: str, *arguments: Any) -> Any:
        names, stream = self._keys, self._keys.stream
        keys = (names.last, names.looked, names.happened, names.snapshots, names.snapshot_ids)
        stale = StaleError(f"events of {stream} were written meanwhile; reading again")
        doing = f"write events of {stream}"
        return run_fenced(self._client, stream, doing, script, keys, arguments, {"STALE": stale})


def newest_of(
    client: RedisClient, streams: Sequence[str], least: str, most: str, count: int
) -> list[tuple[str, bytes]]:
    """Entry ids and JSON of the newest events of some streams, so many of each at most.

    Args:
        client: of Redis.
        streams: their ids.
        least, most: entries, inclusive.
        count: of one stream.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    pipeline: Any = client.pipeline(transaction=False)
    for stream in streams:
        pipeline.xrevrange(StreamKeys(stream).happened, max=most, min=least, count=count)
    with redis_errors("read events", server_name(client)):
        pages = pipeline.execute()
    return [(entry.decode(), fields[b"event"]) for page in pages for entry, fields in page]


def pictured(client: RedisClient, streams: Sequence[str]) -> dict[str, set[str]]:
    """Events whose pictures are kept, by stream.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    pipeline: Any = client.pipeline(transaction=False)
    for stream in streams:
        pipeline.hkeys(StreamKeys(stream).snapshots)
    with redis_errors("read events", server_name(client)):
        found = pipeline.execute()
    return {stream: {one.decode() for one in ids} for stream, ids in zip(streams, found, strict=True)}


def number_of(entry: str) -> int:
    """The number of an event by the id of its entry."""
    return int(entry.partition("-")[2])


def noted_at(entry: str) -> float:
    """Unix seconds when an event was noted, by the id of its entry."""
    return int(entry.partition("-")[0]) / 1000
