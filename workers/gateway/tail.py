"""Follows what a stream gives: results, late energies and changes of state, from any point that is kept."""

from __future__ import annotations

import json
import random
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Any

import anyio

from vocab.errors import StoreUnavailable
from vocab.redis_errors import redis_errors
from workers.contract.cursor import Cursor
from workers.contract.keys import EPOCH, STREAMS, StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.gateway.async_redis import AsyncRedis

_COUNT = 100
_LONGEST_PAUSE_S = 2.0
# After Redis lost its data: how long whoever reads the stream has to put it back.
_PUT_BACK_S = 30.0

_Entries = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, slots=True)
class Event:
    """What a client is told.

    Attributes:
        name: "prediction", "energy", "state" or "gap".
        cursor: what to resume with after it.
        data: JSON.
    """

    name: str
    cursor: Cursor
    data: str


class Tail:
    """The events of one stream, in order.

    Results come before the energies and states that Redis held at the same time, so "ended" is never told
    before the last result. Frames that the client will not get are told as a "gap", never passed over.

    Args:
        client: to wait with.
        where: its server, without credentials.
        spec: of the stream, as it is now.
        block_s: how long one call waits; after it, whether the stream is still there is looked up.
    """

    def __init__(self, client: AsyncRedis, where: str, spec: StreamSpec, block_s: float) -> None:
        self._client: Any = client
        self._where = where
        self._spec = spec
        self._block_s = block_s
        self._keys = StreamKeys(spec.id)
        self._cursor = Cursor()
        self._epoch: bytes | None = None
        self._lost_at: float | None = None
        self._told_empty = False

    async def start(self, after: Cursor | None) -> list[Event]:
        """Finds where to begin; call it once, before `events`.

        Args:
            after: read up to here; None for only what comes from now on.

        Returns:
            At the live edge the present state, so that a client has an id to resume with from the start.

        Raises:
            StoreUnavailable: Redis cannot be used now.
        """
        with redis_errors(f"read results of {self._spec.id}", self._where):
            self._epoch = await self._client.get(EPOCH)
            if after is not None:
                self._cursor = after
                return []
            keys = (self._keys.results, self._keys.energy, self._keys.events)
            frames, energy, events = [await self._newest(key) for key in keys]
            self._cursor = replace(Cursor(0, energy, events).with_result(frames))
            status = StreamStatus.from_hash(await self._client.hgetall(self._keys.state))
        now = {"state": status.state, "reason": status.reason, "since": status.since}
        return [Event("state", self._cursor, json.dumps(now))]

    async def events(self, follow: bool) -> AsyncGenerator[Event]:
        """All events from the start on; waits out a Redis that is away.

        Args:
            follow: go on until the stream is removed; else end when all that Redis holds was given.
        """
        pause_s = 0.0
        # Whether the stream was found to reach as far as the cursor, since Redis last was away or silent.
        checked = False
        while True:
            gap, gone = None, False
            try:
                with redis_errors(f"read results of {self._spec.id}", self._where):
                    if not checked:
                        gap, checked = await self._behind(), True
                    entries = await self._read(wait=follow)
                    if not entries and follow:
                        gone = await self._gone()
            except StoreUnavailable:
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2 or 0.05)
                await anyio.sleep(pause_s * random.uniform(0.5, 1.0))
                entries, checked = {}, False
            else:
                pause_s = 0.0
            if gap is not None:
                yield gap
            for event in self._told(entries):
                yield event
            if gone:
                yield Event("state", self._cursor, json.dumps({"state": "deleted", "reason": None}))
            if gone or not (entries or follow or pause_s):
                return
            checked = checked and bool(entries)

    async def _read(self, wait: bool) -> dict[str, _Entries]:
        keys = {self._keys.results: "results", self._keys.energy: "energy", self._keys.events: "events"}
        cursor = self._cursor
        after = dict(zip(keys, (cursor.results, cursor.energy, cursor.events), strict=True))
        block = int(self._block_s * 1000) if wait else None
        answer = await self._client.xread(after, count=_COUNT, block=block) or []
        # A list of pairs in RESP2, a mapping to lists of pages in RESP3.
        pairs = answer.items() if isinstance(answer, dict) else answer
        return {keys[key.decode()]: _flat(entries) for key, entries in pairs}

    def _told(self, entries: dict[str, _Entries]) -> list[Event]:
        out: list[Event] = []
        results = entries.get("results", [])
        for entry, fields in results:
            number = int(entry.partition(b"-")[0])
            if number > self._cursor.frames + 1:
                out.append(self._gap(number - 1))
            self._cursor = replace(self._cursor, frames=number)
            self._told_empty = False
            out.append(Event("prediction", self._cursor, fields[b"result"].decode()))
        # A full answer may have left some behind, and those come first: they are asked for again.
        if len(results) == _COUNT:
            return out
        energies = entries.get("energy", [])
        for entry, fields in energies:
            self._cursor = replace(self._cursor, energy=entry.decode())
            out.append(Event("energy", self._cursor, fields[b"energy"].decode()))
        if len(energies) < _COUNT:
            for entry, fields in entries.get("events", []):
                self._cursor = replace(self._cursor, events=entry.decode())
                out.append(Event("state", self._cursor, fields[b"state"].decode()))
        return out

    def _gap(self, until: int) -> Event:
        first, lost = self._cursor.frames, until - self._cursor.frames
        self._cursor = replace(self._cursor, frames=until)
        reason = f"results of frames {first} to {until - 1} are no longer kept"
        return Event("gap", self._cursor, json.dumps({"lost": lost, "first": first, "reason": reason}))

    async def _behind(self) -> Event | None:
        """Tells when the client has read more than there is: Redis lost data, or the stream is a new one."""
        newest = int((await self._newest(self._keys.results)).partition("-")[0])
        if newest >= self._cursor.frames or (newest == 0 and self._told_empty):
            return None
        if newest == 0:
            # Whoever reads the stream may go on with its numbers: what is missing then is counted then.
            self._told_empty = True
            reason = f"the results up to frame {self._cursor.frames - 1} are gone, and none came since"
        else:
            self._cursor = replace(self._cursor, frames=0)
            reason = "the results read so far are gone, and frames count from 0 again"
        return Event("gap", self._cursor, json.dumps({"lost": None, "first": None, "reason": reason}))

    async def _gone(self) -> bool:
        value = await self._client.hget(STREAMS, self._spec.id)
        epoch = await self._client.get(EPOCH)
        if value is not None:
            self._epoch, self._lost_at = epoch, None
            return bool(json.loads(value)["created_at"] != self._spec.created_at)
        if self._lost_at is None and epoch != self._epoch:
            self._lost_at = time.monotonic()
        return self._lost_at is None or time.monotonic() > self._lost_at + _PUT_BACK_S

    async def _newest(self, key: str) -> str:
        found = await self._client.xrevrange(key, count=1)
        return found[0][0].decode() if found else "0-0"


def _flat(entries: Any) -> _Entries:
    return entries[0] if entries and isinstance(entries[0], list) else entries
