"""A window in Redis, shared by every worker of a scope."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from vocab.connection import RedisClient, server_name
from vocab.keys import ScopeKeys
from vocab.redis_errors import raise_first, redis_errors
from vocab.scripts import run_script
from vocab.window import Patches, WindowOptions, entries_of, joined, patch_bytes

# A reply of this size arrives well within a timeout of one second.
_PAGE_BYTES = 2 * 2**20
_NEWEST = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return newest[1] and newest[1][1]
"""
# Entries by their time: the first at or after each of so many moments, from the oldest to the newest.
_SPREAD = """
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
if not oldest then return {} end
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local function ms(entry) return tonumber(string.match(entry[1], '^%d+')) end
local first, span, count = ms(oldest), ms(newest) - ms(oldest), tonumber(ARGV[1])
local found, after = {oldest}, oldest
for i = 1, count - 1 do
    local from = string.format('%.0f', first + math.floor(span * i / count))
    if tonumber(from) <= ms(after) then from = '(' .. after[1] end
    after = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 1)[1]
    if not after then break end
    table.insert(found, after)
end
return found
"""


class RedisWindow:
    """A capped Redis Stream with one entry per sampled frame.

    An entry carries its patch size, its number of patches and a checksum. An entry that contradicts them,
    is of another patch size, or was written by something else is left out when read, and counted.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        scope: names the window.
        patch_size: P of its patches.
        options: what it holds.
        unused_s: seconds without a write after which the window is gone.

    Attributes:
        skipped: entries that the last `read` left out.

    Raises:
        VocabularyError: the scope's name cannot be a key.
    """

    def __init__(
        self,
        client: RedisClient,
        scope: str,
        patch_size: int,
        options: WindowOptions | None = None,
        unused_s: float = 3600.0,
    ) -> None:
        self.skipped = 0
        self._client: Any = client
        self._where = server_name(client)
        self._key = ScopeKeys(scope).window
        self._patch_size = patch_size
        self._options = options or WindowOptions()
        self._max_frames = self._options.max_frames(patch_size)
        self._unused_ms = int(unused_s * 1000)

    def add(self, patches: Patches) -> None:
        """See `RollingWindow`."""
        pipeline = self._client.pipeline(transaction=False)
        for entry in entries_of(patches, self._options, self._patch_size):
            pixels = entry.tobytes()
            fields = {
                "size": self._patch_size,
                "count": len(entry),
                "crc": zlib.crc32(pixels),
                "rgb": pixels,
            }
            pipeline.xadd(self._key, fields, maxlen=self._max_frames, approximate=False)
        pipeline.pexpire(self._key, self._unused_ms)
        self._execute(pipeline, "write the window")

    def read(self) -> Patches:
        """See `RollingWindow`."""
        frames: list[Patches] = []
        page = max(1, _PAGE_BYTES // (self._options.patches_per_frame * patch_bytes(self._patch_size)))
        seen, before = 0, "+"
        while seen < self._max_frames:
            with redis_errors(f"read the window {self._key}", self._where):
                entries = self._client.xrevrange(self._key, before, count=min(page, self._max_frames - seen))
            if not entries:
                break
            seen += len(entries)
            before = "(" + entries[-1][0].decode()
            frames += [frame for _, fields in entries if (frame := self._decode(fields)) is not None]
        self.skipped = seen - len(frames)
        return joined(frames[::-1], self._patch_size)

    def sample(self, frames: int) -> Patches:
        """See `RollingWindow`."""
        with redis_errors(f"read the window {self._key}", self._where):
            entries = run_script(self._client, _SPREAD, [self._key], [frames])
        pairs = ((flat[::2], flat[1::2]) for _, flat in entries)
        decoded = (self._decode(dict(zip(*pair, strict=True))) for pair in pairs)
        return joined([frame for frame in decoded if frame is not None], self._patch_size)

    def newest(self) -> str | None:
        """See `RollingWindow`."""
        with redis_errors(f"look at the window {self._key}", self._where):
            newest = run_script(self._client, _NEWEST, [self._key])
        return None if newest is None else newest.decode()

    def size(self) -> int:
        """See `RollingWindow`; exact while all entries are like the newest, as those of one model are."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xlen(self._key)
        pipeline.xrevrange(self._key, count=1)
        length, newest = self._execute(pipeline, "look at the window")
        frame = self._decode(newest[0][1]) if newest else None
        return 0 if frame is None else min(length, self._max_frames) * len(frame)

    def _execute(self, pipeline: Any, doing: str) -> list[Any]:
        with redis_errors(f"{doing} {self._key}", self._where):
            return raise_first(pipeline.execute(raise_on_error=False))

    def _decode(self, fields: dict[bytes, bytes]) -> Patches | None:
        pixels = fields.get(b"rgb", b"")
        count, rest = divmod(len(pixels), patch_bytes(self._patch_size))
        expected = {
            b"size": b"%d" % self._patch_size,
            b"count": b"%d" % count,
            b"crc": b"%d" % zlib.crc32(pixels),
            b"rgb": pixels,
        }
        if not count or rest or fields != expected:
            return None
        return np.frombuffer(pixels, np.uint8).reshape(count, -1)
