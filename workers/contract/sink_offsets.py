"""How far a sink has come, kept in Redis under the stream's lease."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.redis_memory import EVEN_WHEN_FULL
from workers.contract.event_log import NONE, number_of
from workers.contract.fenced import CHECK_FENCE, run_fenced
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.sinks.settings import SinkSettings

# A new sink begins with the oldest result that is kept. What we know may be newer than what Redis has, when
# it was away or lost its data; and older, when somebody else delivered meanwhile.
_BEGIN = (
    CHECK_FENCE
    + """
local stored = redis.call('HGET', KEYS[2], ARGV[2])
local known = ARGV[3] ~= '' and ARGV[3]
if stored and not (known and cjson.decode(known).frames > cjson.decode(stored).frames) then return stored end
if not known then
    local oldest = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)
    local frames = oldest[1] and tonumber(string.match(oldest[1][1], '^(%d+)')) - 1 or 0
    local events, first = '0-0', redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)
    if first[1] then
        local ms, number = string.match(first[1][1], '^(%d+)-(%d+)$')
        events = string.format('%s-%.0f', ms, number - 1)
    end
    known = string.format('{"frames":%d,"lost":0,"events":"%s"}', frames, events)
end
redis.call('HSET', KEYS[2], ARGV[2], known)
return known
"""
)
_SAVE = EVEN_WHEN_FULL.format(key="KEYS[1]") + CHECK_FENCE + "redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])"
_KEEP = (
    CHECK_FENCE
    + """
for _, name in ipairs(redis.call('HKEYS', KEYS[2])) do
    local wanted = false
    for i = 2, #ARGV do wanted = wanted or ARGV[i] == name end
    if not wanted then redis.call('HDEL', KEYS[2], name) end
end
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkOffset:
    """How far a sink has come.

    Attributes:
        frames: frames below it were taken, or are lost.
        lost: of those, and of events, how many the sink never got, because Redis kept them no longer.
        at: Unix seconds when the sink last took results; None before.
        error: why it does not take any now; None when it does.
        events: entry of the last event that it took, see `event_log`.
    """

    frames: int = 0
    lost: int = 0
    at: float | None = None
    error: str | None = None
    events: str = NONE

    @classmethod
    def parse(cls, text: bytes) -> SinkOffset:
        """Reads what Redis holds."""
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self), separators=(",", ":"))


class SinkOffsets:
    """The offsets of a stream's sinks. Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        stream: id of the stream.
    """

    def __init__(self, client: RedisClient, stream: str) -> None:
        self._client: Any = client
        self._keys = StreamKeys(stream)

    def begin(self, fence: int, sink: str, known: SinkOffset | None) -> SinkOffset:
        """Where a sink goes on, or begins.

        Raises:
            FencedError: somebody else runs the stream now, or it was removed.
        """
        return SinkOffset.parse(self._run(_BEGIN, fence, sink, "" if known is None else str(known)))

    def save(self, fence: int, sink: str, reached: SinkOffset) -> None:
        """Keeps how far a sink has come.

        Raises:
            FencedError: as of `begin`.
        """
        self._run(_SAVE, fence, sink, str(reached))

    def keep_only(self, fence: int, sinks: Sequence[str]) -> None:
        """Forgets sinks that the stream no longer has: one of that name begins anew.

        Raises:
            FencedError: as of `begin`.
        """
        self._run(_KEEP, fence, *sinks)

    def _run(self, script: str, fence: int, *arguments: str) -> Any:
        keys = (self._keys.last, self._keys.sinks, self._keys.results, self._keys.happened)
        stream = self._keys.stream
        doing = f"keep how far the sinks of {stream} are"
        return run_fenced(self._client, stream, doing, script, keys, (fence, *arguments))


def sink_status(client: RedisClient, spec: StreamSpec) -> list[dict[str, Any]]:
    """What the sinks of a stream are doing, see `sink_statuses`."""
    return sink_statuses(client, [spec])[0]


def sink_statuses(client: RedisClient, specs: Sequence[StreamSpec]) -> list[list[dict[str, Any]]]:
    """What the sinks of streams are doing, for the API; asked for in one round trip.

    Returns:
        For each stream, for each sink: `name`, `kind`, `to` (without credentials), `delivered` (frames below
        it were taken or are lost; None before it was first tried), `lag` (results and events that wait
        for it), `lost`, `at` (Unix seconds of the last delivery) and `error`.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    pipeline: Any = client.pipeline(transaction=False)
    asked = [spec for spec in specs if spec.sinks]
    answers: Iterator[Any] = iter(())
    if asked:
        with redis_errors("look up the sinks", server_name(client)):
            for spec in asked:
                pipeline.hgetall(StreamKeys(spec.id).sinks)
                pipeline.xrevrange(StreamKeys(spec.id).results, count=1)
                pipeline.xrevrange(StreamKeys(spec.id).happened, count=1)
            answers = iter(pipeline.execute())
    return [_status(spec, *islice(answers, 3)) if spec.sinks else [] for spec in specs]


def _status(spec: StreamSpec, stored: Any, newest: Any, happened: Any) -> list[dict[str, Any]]:
    results = int(newest[0][0].partition(b"-")[0]) if newest else 0
    event = happened[0][0].decode() if happened else NONE
    found = []
    for sink in spec.sinks:
        text = stored.get(sink.key.encode())
        reached = None if text is None else SinkOffset.parse(text)
        found.append(
            {
                "name": sink.key,
                "kind": sink.kind,
                "to": sink.display,
                "delivered": None if reached is None else reached.frames,
                "lag": None if reached is None else _lag(sink, reached, results, event),
                "lost": None if reached is None else reached.lost,
                "at": None if reached is None else reached.at,
                "error": None if reached is None else reached.error,
            }
        )
    return found


def _lag(sink: SinkSettings, reached: SinkOffset, results: int, event: str) -> int:
    """How many results and events wait for a sink, of those that it takes."""
    waiting = 0 if sink.events == "only" else max(results - reached.frames, 0)
    if sink.events == "no" or event == reached.events:
        return waiting
    # Numbers begin anew where Redis has lost its data.
    return waiting + max(number_of(event) - number_of(reached.events), 1)
