"""The history of a stream in Redis: what was seen when something changed, with small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.history import Moment, Things, Widths, pack, unpack
from pipeline.history.moments import Records, fitted
from pipeline.results import Prediction
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from workers.contract.fenced import CHECK_FENCE, run_fenced
from workers.contract.keys import StreamKeys

# Each frame once, however often it is sent; the entry of frame N has the id (N+1)-0, as its result has.
_APPEND = (
    CHECK_FENCE
    + """
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local last = newest[1] and tonumber(string.match(newest[1][1], '^(%d+)')) or 0
if tonumber(ARGV[2]) <= last then return end
local id = ARGV[2] .. '-0'
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], id, 'record', ARGV[4], 'of', ARGV[5])
redis.call('XADD', KEYS[3], 'MAXLEN', ARGV[3], id, 'jpeg', ARGV[6])
"""
)
_CHUNK = 500
# What Redis adds to an entry of both streams, on the generous side.
_ENTRY_BYTES = 200


class HistoryLog:
    """Writes and reads the history of one stream. Every method raises StoreUnavailable when Redis cannot.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        stream: id of the stream.
    """

    def __init__(self, client: RedisClient, stream: str) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._stream = stream
        self._keys = StreamKeys(stream)

    def append(
        self,
        fence: int,
        model: str,
        moment: Moment,
        prediction: Prediction,
        jpeg: bytes,
        most_bytes: int,
        things: Things | None = None,
    ) -> None:
        """Appends a moment; the oldest go where the history is longer than it may be.

        Args:
            fence: fencing token of the stream's lease.
            model: its name; embeddings of others are not compared with these.
            moment: when it was.
            prediction: what was seen, with an embedding.
            jpeg: a small picture of it.
            most_bytes: what the history may take, all moments taken to be as large as this one.
            things: what changed; None where that is not known.

        Raises:
            FencedError: a newer fence was given out.
        """
        record = pack(moment.frame + 1, moment, prediction, things)
        of = _of(model, Widths.of(prediction, things))
        most = max(1, most_bytes // (len(record) + len(of) + len(jpeg) + _ENTRY_BYTES))
        keys = (self._keys.last, self._keys.history, self._keys.pictures)
        arguments = (fence, moment.frame + 1, most, record, of, jpeg)
        doing = f"write the history of {self._stream}"
        run_fenced(self._client, self._stream, doing, _APPEND, keys, arguments)

    def records(self, model: str) -> Records | None:
        """All that is kept of what such a model saw and can be compared with the newest, oldest first.

        Returns:
            None where the newest is of another model, or there is none.
        """
        found: dict[bytes, list[bytes]] = {}
        seen, newest = 0, b""
        while True:
            with redis_errors(f"read the history of {self._stream}", self._where):
                entries = self._client.xrange(self._keys.history, min=f"({seen}-0", count=_CHUNK)
            for _, fields in entries:
                newest = fields[b"of"]
                found.setdefault(newest, []).append(fields[b"record"])
            if len(entries) < _CHUNK:
                break
            seen = _number(entries[-1][0])
        widths = _widths(newest, model)
        return None if widths is None else _joined(found, model, widths)

    def pictures(self, frames: Sequence[int]) -> list[bytes | None]:
        """The pictures of such frames; None where they went meanwhile."""
        with redis_errors(f"read the history of {self._stream}", self._where):
            pipeline = self._client.pipeline(transaction=False)
            for frame in frames:
                pipeline.xrange(self._keys.pictures, min=f"{frame + 1}-0", max=f"{frame + 1}-0")
            return [entries[0][1][b"jpeg"] if entries else None for entries in pipeline.execute()]

    def forget(self) -> None:
        """Drops all of it."""
        with redis_errors(f"drop the history of {self._stream}", self._where):
            self._client.delete(self._keys.history, self._keys.pictures)


def _of(model: str, widths: Widths) -> bytes:
    # Things were not always kept, and are not of every stream.
    things = f"x{widths.thing}" if widths.thing else ""
    return f"{model} {widths.frame}x{widths.part}{things}".encode()


def _widths(of: bytes, model: str) -> Widths | None:
    """What `_of` was made of; None where that is another model."""
    name, _, widths = of.decode().rpartition(" ")
    return Widths(*map(int, widths.split("x"))) if name == model else None


def _joined(found: Mapping[bytes, Sequence[bytes]], model: str, newest: Widths) -> Records:
    """Records that can be compared with the newest, with things where any of them have some."""
    kinds = {of: widths for of in found if (widths := _widths(of, model)) is not None}
    alike = [one.thing for one in kinds.values() if replace(one, thing=newest.thing) == newest]
    wide = replace(newest, thing=newest.thing or max(alike))
    parts = [fitted(unpack(b"".join(found[of]), widths), wide) for of, widths in kinds.items()]
    records = np.concatenate([part for part in parts if part is not None])
    return records[np.argsort(records["number"], kind="stable")]


def _number(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])
