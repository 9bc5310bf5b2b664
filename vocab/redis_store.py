"""Published vocabularies in Redis."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from vocab.connection import RedisClient, server_name
from vocab.coverage import Coverage
from vocab.errors import StoreUnavailable, VocabularyError
from vocab.keys import ScopeKeys
from vocab.redis_errors import raise_first, redis_errors
from vocab.scripts import run_script
from vocab.store import KEPT_RECORDS, Record, VersionInfo, check_fits
from vocab.words import Normalisation, Vocabulary

_KEPT_VERSIONS = 64

# Redis runs a script as one step but does not take back what it wrote before an error. So everything that
# can fail comes before the second write: reads of every key, then the only write that minds a key's type.
_PUBLISH = """
local last, current, bytes, replaced, versions = unpack(KEYS)
local fence, version, data, ttl_ms, unused_ms, kept, words, patch_size = unpack(ARGV)
if redis.call('HGET', last, 'token') ~= fence then return 'stale' end
if redis.call('GET', current) == version and redis.call('GET', bytes) == data then return 'published' end
if tonumber(redis.call('HGET', last, 'version') or 0) >= tonumber(version) then return 'taken' end
redis.call('XADD', versions, 'MAXLEN', kept, '*',
    'version', version, 'words', words, 'patch_size', patch_size)
redis.call('PEXPIRE', versions, unused_ms)
redis.call('HSET', last, 'version', version)
redis.call('SET', bytes, data, 'PX', unused_ms)
redis.call('PEXPIRE', replaced, ttl_ms)
redis.call('SET', current, version, 'PX', unused_ms)
return 'published'
"""
_HOLD = """
local current, bytes, versions, stats = unpack(KEYS)
local version, ttl_ms, unused_ms = unpack(ARGV)
if redis.call('GET', current) ~= version then return redis.call('PEXPIRE', bytes, ttl_ms) end
for _, key in ipairs({current, versions, stats}) do redis.call('PEXPIRE', key, unused_ms) end
return redis.call('PEXPIRE', bytes, unused_ms)
"""


class RedisStore:
    """Versions as immutable values, and one key that names the current one.

    A replaced version expires `ttl_s` after the last `hold`, the current one `unused_s` after it.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        scope: whose words.
        patch_size: P that the scope's readers use; None accepts any, to look at a scope.
        normalisation: theirs; None accepts any.
        ttl_s: seconds that a replaced version outlives its last reader's `hold`.
        unused_s: seconds that the scope's words outlive the last worker.

    Raises:
        VocabularyError: the scope's name cannot be a key.
    """

    def __init__(
        self,
        client: RedisClient,
        scope: str,
        patch_size: int | None,
        normalisation: Normalisation | None = None,
        *,
        ttl_s: float = 600.0,
        unused_s: float = 7 * 86_400.0,
    ) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._keys = ScopeKeys(scope)
        self._patch_size = patch_size
        self._normalisation = normalisation
        self._ttl_ms = int(ttl_s * 1000)
        self._unused_ms = int(unused_s * 1000)

    def current(self) -> int | None:
        """See `VocabularyStore`."""
        with redis_errors(f"look up the version {self._keys.current}", self._where):
            value = self._client.get(self._keys.current)
        return self._number(value, self._keys.current)

    def load(self, version: int) -> Vocabulary:
        """See `VocabularyStore`."""
        key = self._keys.version(version)
        with redis_errors(f"load the words {key}", self._where):
            data = self._client.get(key)
        if data is None:
            raise VocabularyError(f"{key} is gone from {self._where}; use the current version")
        try:
            vocabulary = Vocabulary.from_bytes(data, key)
        except KeyError as error:  # a damaged name of a field
            raise VocabularyError(f"{key} is no vocabulary: it lacks {error}") from error
        if vocabulary.version != version:
            raise VocabularyError(f"{key} holds version {vocabulary.version}; delete it or use another scope")
        check_fits(vocabulary, self._patch_size, self._normalisation, key)
        return vocabulary

    def publish(self, vocabulary: Vocabulary, fence: int) -> Vocabulary | None:
        """See `VocabularyStore`."""
        check_fits(vocabulary, self._patch_size, self._normalisation, "the vocabulary to publish")
        keys = self._keys
        with redis_errors(f"publish words of {keys.scope}", self._where):
            last = self._number(self._client.hget(keys.last, "version"), keys.last) or 0
            replaced = self.current() or 0
            version = max(last, replaced, vocabulary.version) + 1
            published = vocabulary.rounded(version)
            written = (keys.last, keys.current, keys.version(version), keys.version(replaced), keys.versions)
            lasting = (self._ttl_ms, self._unused_ms, _KEPT_VERSIONS)
            of = (len(published), published.patch_size)
            arguments = (fence, version, published.to_bytes(), *lasting, *of)
            answer = run_script(self._client, _PUBLISH, written, arguments)
        if answer == b"taken":
            raise StoreUnavailable(
                f"cannot publish words of {keys.scope}: version {version} came up meanwhile; try again"
            )
        return published if answer == b"published" else None

    def hold(self, version: int) -> bool:
        """See `VocabularyStore`."""
        keys = (self._keys.current, self._keys.version(version), self._keys.versions, self._keys.stats)
        with redis_errors(f"hold the words {keys[1]}", self._where):
            return bool(run_script(self._client, _HOLD, keys, (version, self._ttl_ms, self._unused_ms)))

    def versions(self) -> list[VersionInfo]:
        """See `VocabularyStore`."""
        with redis_errors(f"list the versions {self._keys.versions}", self._where):
            entries = self._client.xrevrange(self._keys.versions, count=_KEPT_VERSIONS)
            known = [info for entry in entries if (info := _version_info(*entry)) is not None]
            pipeline = self._client.pipeline(transaction=False)
            for info in known:
                pipeline.exists(self._keys.version(info.version))
            alive = raise_first(pipeline.execute(raise_on_error=False)) if known else []
        return [info for info, exists in zip(known, alive, strict=True) if exists][::-1]

    def record(self, version: int, coverage: Coverage) -> None:
        """See `VocabularyStore`."""
        fields = {
            "version": version,
            "matched": repr(coverage.matched),
            "distance": "" if coverage.distance is None else repr(coverage.distance),
            "usage": coverage.usage.clip(0, 2**32 - 1).astype("<u4").tobytes(),
        }
        with redis_errors(f"write the statistics {self._keys.stats}", self._where):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.xadd(self._keys.stats, fields, maxlen=KEPT_RECORDS, approximate=False)
            pipeline.pexpire(self._keys.stats, self._unused_ms)
            raise_first(pipeline.execute(raise_on_error=False))

    def history(self, limit: int = KEPT_RECORDS) -> list[Record]:
        """See `VocabularyStore`; what cannot be read is left out."""
        with redis_errors(f"read the statistics {self._keys.stats}", self._where):
            entries = self._client.xrevrange(self._keys.stats, count=min(limit, KEPT_RECORDS))
        return [record for entry in entries if (record := _record(*entry)) is not None][::-1]

    def _number(self, value: bytes | None, key: str) -> int | None:
        if value is None:
            return None
        if not re.fullmatch(rb"\d{1,18}", value):
            raise StoreUnavailable(
                f"cannot use {key}: {self._where} holds no version number there, so not vwt wrote it; "
                "delete it or use another scope"
            )
        return int(value)


def _version_info(entry: bytes, fields: dict[bytes, bytes]) -> VersionInfo | None:
    try:
        version, words, patch_size = (int(fields[name]) for name in (b"version", b"words", b"patch_size"))
    except (KeyError, ValueError):
        return None
    return VersionInfo(version, words, patch_size, _written_at(entry))


def _record(entry: bytes, fields: dict[bytes, bytes]) -> Record | None:
    try:
        distance = float(fields[b"distance"]) if fields[b"distance"] else None
        usage = np.frombuffer(fields[b"usage"], "<u4").astype(np.int64)
        coverage = Coverage(float(fields[b"matched"]), distance, usage)
        return Record(int(fields[b"version"]), _written_at(entry), coverage)
    except (KeyError, ValueError):
        return None


def _written_at(entry: bytes) -> float:
    """The server puts its clock, in milliseconds, into the id of an entry."""
    return int(entry.partition(b"-")[0]) / 1000
