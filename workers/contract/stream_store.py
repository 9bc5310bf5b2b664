"""The streams that the service was given, in Redis."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import UsageError
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.bill import Line, days_over, lines_of
from workers.contract.changes import announce
from workers.contract.keys import EPOCH, STREAMS, StreamKeys
from workers.contract.sealing import from_text, is_current, to_text
from workers.contract.stream_life import after, begin, end
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus, to_fields

# Compare and set on the spec's text; what is removed first makes room when Redis is full.
_REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_DELETE = """
local value = redis.call('HGET', KEYS[1], ARGV[1])
if not value or cjson.decode(value).created_at ~= tonumber(ARGV[2]) then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
"""
# Of a `StreamId`.
_LONGEST_ID = 64


class NoStreamError(UsageError):
    """There is no stream of that id."""


class StreamExistsError(UsageError):
    """A stream of that id is there already."""


class StreamStore:
    """Specs and states of all streams. Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client: Any = client
        self._where = server_name(client)

    def all(self) -> dict[str, StreamSpec]:
        """Every stream by id; what is no spec is left out."""
        with redis_errors("list the streams", self._where):
            values = self._client.hgetall(STREAMS)
        specs = (_read(value) for value in values.values())
        return {spec.id: spec for spec in specs if spec is not None}

    def ids(self) -> list[str]:
        """Of all streams, in order; cheaper than `all`."""
        with redis_errors("list the streams", self._where):
            return sorted(key.decode(errors="replace") for key in self._client.hkeys(STREAMS))

    def some(self, streams: Sequence[str]) -> dict[str, StreamSpec]:
        """Those of such ids that there are, by id; what is no spec is left out."""
        if not streams:
            return {}
        with redis_errors("look up streams", self._where):
            values = self._client.hmget(STREAMS, streams)
        specs = (_read(value) for value in values if value is not None)
        return {spec.id: spec for spec in specs if spec is not None}

    def get(self, stream: str) -> StreamSpec:
        """One stream.

        Raises:
            NoStreamError: there is none of that id.
        """
        return self._look_up(stream)[0]

    def add(self, spec: StreamSpec) -> StreamSpec:
        """Adds a stream.

        Returns:
            The spec as it was added.

        Raises:
            StreamExistsError: one of that id is there.
        """
        with redis_errors(f"add the stream {spec.id}", self._where):
            while True:
                if not self._client.hsetnx(STREAMS, spec.id, to_text(spec)):
                    raise StreamExistsError(
                        f"there is a stream {spec.id!r} already; remove it or give another name"
                    )
                try:
                    newest = begin(
                        self._client, spec, to_fields({"state": "starting", "since": spec.created_at})
                    )
                except Exception:
                    # Redis may be full. Whoever is told that it was not added must not find it in the list.
                    self._delete(spec)
                    raise
                # Others of its name came and went meanwhile, or were made by a clock that is ahead. Unless it
                # was removed with them it comes after them.
                if newest is None or not self._delete(spec):
                    announce(self._client, [spec.id])
                    return spec
                spec = after(spec, newest)

    def add_named(self, name: str, settings: Mapping[str, Any]) -> StreamSpec:
        """Adds a stream under an id that is free: the name, else the name with a number.

        Args:
            name: a slug, as `SourceSpec.name` is one.
            settings: the other fields of its spec.

        Returns:
            The spec as it was added.
        """
        taken = set(self.all())
        ids = (stream for stream in _numbered(name) if stream not in taken)
        while True:
            try:
                return self.add(StreamSpec(id=next(ids), **settings))
            except StreamExistsError:
                # Somebody else was faster.
                continue

    def change(self, stream: str, changes: dict[str, Any]) -> StreamSpec:
        """Changes fields of a stream and counts its revision up.

        Raises:
            NoStreamError: there is none of that id.
            pydantic.ValidationError: a value that cannot be right.
        """
        while True:
            before, text = self._look_up(stream)
            merged = before.model_dump() | changes | {"revision": before.revision + 1}
            changed = StreamSpec.model_validate(merged)
            with redis_errors(f"change the stream {stream}", self._where):
                if self._replace(stream, text, changed):
                    announce(self._client, [stream])
                    return changed

    def seal(self) -> None:
        """Seals every spec with the key that seals now, see `workers.contract.sealing`."""
        with redis_errors("seal the streams", self._where):
            for stream, value in self._client.hgetall(STREAMS).items():
                spec = _read(value)
                if spec is not None and not is_current(value):
                    # Else somebody has changed it meanwhile, and sealed it.
                    self._replace(stream, value, spec)

    def remove(self, stream: str) -> None:
        """Removes a stream with all it wrote; whoever runs it can write nothing more.

        Raises:
            NoStreamError: there is none of that id.
        """
        spec = self.get(stream)
        with redis_errors(f"remove the stream {stream}", self._where):
            # First what it wrote: were it left when we die between, nobody would know of it.
            end(self._client, spec)
            removed = self._delete(spec)
            announce(self._client, [stream])
        if not removed:
            raise _none(stream)

    def status(self, stream: str) -> StreamStatus:
        """What a stream is doing."""
        with redis_errors(f"look up the state of {stream}", self._where):
            return StreamStatus.from_hash(self._client.hgetall(StreamKeys(stream).state))

    def statuses(self, streams: list[str]) -> list[StreamStatus]:
        """What many streams are doing, in the order asked."""
        with redis_errors("look up the states of the streams", self._where):
            pipeline = self._client.pipeline(transaction=False)
            for stream in streams:
                pipeline.hgetall(StreamKeys(stream).state)
            return [StreamStatus.from_hash(values) for values in pipeline.execute()]

    def bill(self) -> dict[str, list[Line]]:
        """What the frames of each stream took on each day; no lines where no energy is known."""
        streams = sorted(self.all())
        # Before what is over: a day that ends meanwhile is in both, rather than in neither.
        statuses = self.statuses(streams)
        with redis_errors("look up the bill", self._where):
            pipeline = self._client.pipeline(transaction=False)
            for stream in streams:
                pipeline.hgetall(StreamKeys(stream).bill)
            over = pipeline.execute()
        found = {}
        for stream, status, values in zip(streams, statuses, over, strict=True):
            runs = {} if status.day is None else {status.day: status.day_energy}
            found[stream] = lines_of(stream, runs | days_over(values))
        return found

    def epoch(self) -> tuple[str, bool]:
        """Names the data set Redis holds.

        Returns:
            The name, and whether it is new: Redis was empty, or has lost its data.
        """
        with redis_errors("look at the data", self._where):
            # One that is full refuses to set it, also where it is set.
            known = self._client.get(EPOCH)
            if known is not None:
                return known.decode(), False
            fresh = bool(self._client.set(EPOCH, secrets.token_hex(8), nx=True))
            return self._client.get(EPOCH).decode(), fresh

    def _delete(self, spec: StreamSpec) -> bool:
        """Whether it was in the list; one of the same name that was added meanwhile stays."""
        return bool(run_script(self._client, _DELETE, [STREAMS], [spec.id, repr(spec.created_at)]))

    def _replace(self, stream: str, text: bytes, spec: StreamSpec) -> bool:
        """Whether what is there was still as given."""
        return bool(run_script(self._client, _REPLACE, [STREAMS], [stream, text, to_text(spec)]))

    def _look_up(self, stream: str) -> tuple[StreamSpec, bytes]:
        with redis_errors(f"look up the stream {stream}", self._where):
            value = self._client.hget(STREAMS, stream)
        spec = None if value is None else _read(value)
        if spec is None:
            raise _none(stream)
        return spec, value


def _none(stream: str) -> NoStreamError:
    return NoStreamError(f"there is no stream {stream!r}; `vwt streams list` shows those there are")


def _numbered(name: str) -> Iterator[str]:
    for number in itertools.count(1):
        suffix = "" if number == 1 else f"-{number}"
        yield name[: _LONGEST_ID - len(suffix)].rstrip("-") + suffix


def _read(value: bytes) -> StreamSpec | None:
    try:
        return from_text(value)
    except ValueError:
        return None
