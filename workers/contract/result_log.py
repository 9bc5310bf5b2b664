"""What a stream gives: results, late energies and changes of state, appended under its lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import VwtError
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.redis_memory import EVEN_WHEN_FULL
from workers.contract.bill import DAYS_KEPT
from workers.contract.fenced import CHECK_FENCE, run_fenced
from workers.contract.keys import StreamKeys
from workers.contract.stream_status import to_fields

# A day that is over goes from the status to the bill; ISO dates are in the order of their texts.
_SET_FIELDS = """
local function set_fields(state, bill, first)
    for i = first, #ARGV, 2 do
        if ARGV[i] == 'day' then
            local was, energy = unpack(redis.call('HMGET', state, 'day', 'day_energy'))
            if was and energy and was ~= 'null' and was ~= ARGV[i + 1] then
                redis.call('HSET', bill, string.sub(was, 2, -2), energy)
                local days = redis.call('HKEYS', bill)
                table.sort(days)
                for j = 1, #days - DAYS_KEPT do redis.call('HDEL', bill, days[j]) end
            end
        end
    end
    for i = first, #ARGV, 2 do redis.call('HSET', state, ARGV[i], ARGV[i + 1]) end
end
""".replace("DAYS_KEPT", str(DAYS_KEPT))
_APPEND = (
    CHECK_FENCE
    + _SET_FIELDS
    + """
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local next_frame = newest[1] and tonumber(string.match(newest[1][1], '^(%d+)')) or 0
local first, count = tonumber(ARGV[3]), tonumber(ARGV[4])
if newest[1] and first > next_frame then return {err = 'GAP'} end
for i = 0, count - 1 do
    if first + i >= next_frame then
        redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], string.format('%d-0', first + i + 1),
            'result', ARGV[5 + i])
    end
end
if first + count >= next_frame then
    next_frame = first + count
    set_fields(KEYS[3], KEYS[4], 5 + count)
    redis.call('HSET', KEYS[3], 'next_frame', string.format('%d', next_frame))
end
return next_frame
"""
)
_SET_STATUS = (
    EVEN_WHEN_FULL.format(key="KEYS[1]")
    + CHECK_FENCE
    + """
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
if ARGV[3] ~= '' then redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[2], '*', 'state', ARGV[3]) end
"""
)
_SETTLE = (
    CHECK_FENCE
    + _SET_FIELDS
    + """
local count = tonumber(ARGV[3])
for i = 4, 3 + count do redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'energy', ARGV[i]) end
set_fields(KEYS[3], KEYS[4], 4 + count)
"""
)
_KEPT_EVENTS = 256


class OutOfOrderError(VwtError):
    """Frames before these have no durable result yet; nothing was written. Send those first."""


class ResultLog:
    """Writes what one stream gives. Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        stream: id of the stream.
        kept: how many results, and energies, Redis keeps, give or take a few.

    Attributes:
        stream: as given.
    """

    def __init__(self, client: RedisClient, stream: str, kept: int) -> None:
        self.stream = stream
        self._client: Any = client
        self._where = server_name(client)
        self._keys = StreamKeys(stream)
        self._kept = kept

    def append(self, fence: int, first: int, results: Sequence[str], status: Mapping[str, Any]) -> int:
        """Appends results in one step, each once however often it is tried.

        Args:
            fence: fencing token of the stream's lease.
            first: number of the first frame; the entry of frame N gets the id (N+1)-0.
            results: JSON of each.
            status: fields of `StreamStatus` that become true with them.

        Returns:
            The number of the frame after the last durable result.

        Raises:
            FencedError: a newer fence was given out.
            OutOfOrderError: results before the first are missing.
        """
        fields = [part for item in to_fields(status).items() for part in item]
        keys = (self._keys.last, self._keys.results, self._keys.state, self._keys.bill)
        arguments = (fence, self._kept, first, len(results), *results, *fields)
        return int(self._run(f"write results of {self._keys.stream}", _APPEND, keys, arguments))

    def set_status(self, fence: int, status: Mapping[str, Any], event: str | None = None) -> None:
        """Changes fields of the stream's status; with `event` (JSON) clients are told.

        Raises:
            FencedError: a newer fence was given out.
        """
        fields = [part for item in to_fields(status).items() for part in item]
        keys = (self._keys.last, self._keys.state, self._keys.events)
        self._run(
            f"write the state of {self._keys.stream}",
            _SET_STATUS,
            keys,
            (fence, _KEPT_EVENTS, event or "", *fields),
        )

    def settle(self, fence: int, energies: Sequence[str], status: Mapping[str, Any]) -> None:
        """Appends energies (JSON with `frame`) that became known after their results were written.

        Args:
            fence: fencing token of the stream's lease.
            energies: each with its frame.
            status: fields of `StreamStatus` that become true with them.

        Raises:
            FencedError: a newer fence was given out.
        """
        fields = [part for item in to_fields(status).items() for part in item]
        keys = (self._keys.last, self._keys.energy, self._keys.state, self._keys.bill)
        arguments = (fence, self._kept, len(energies), *energies, *fields)
        self._run(f"write energies of {self._keys.stream}", _SETTLE, keys, arguments)

    def next_frame(self) -> int:
        """The number of the frame after the last durable result; 0 before the first."""
        with redis_errors(f"read results of {self._keys.stream}", self._where):
            newest = self._client.xrevrange(self._keys.results, count=1)
        return int(newest[0][0].partition(b"-")[0]) if newest else 0

    def read(self, after: int, count: int) -> list[tuple[int, bytes]]:
        """Results behind that many frames, with how many frames there are up to each."""
        with redis_errors(f"read results of {self._keys.stream}", self._where):
            entries = self._client.xrange(self._keys.results, min=f"({after}-0", count=count)
        return [(int(entry.partition(b"-")[0]), fields[b"result"]) for entry, fields in entries]

    def _run(self, doing: str, script: str, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        stream = self._keys.stream
        gap = OutOfOrderError(f"results of {stream} before these are missing; send them first")
        return run_fenced(self._client, stream, doing, script, keys, arguments, {"GAP": gap})
