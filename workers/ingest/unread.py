"""Looks at the streams that this replica does not read."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import raise_first, redis_errors
from workers.contract.keys import StreamKeys
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus

_FIELDS = ("state", "revision", "ingest", "restarts")


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stream that should be read and is not.

    Attributes:
        spec: of the stream.
        since: `time.monotonic()` when we first saw it so.
        left: whether somebody read it before: there may be no replica to come that it waits for.
    """

    spec: StreamSpec
    since: float
    left: bool


@dataclass(frozen=True, slots=True)
class Unread:
    """What is known of the streams that others read, or nobody.

    Attributes:
        waiting: streams that should be read and are not.
        to_pause: paused streams whose state does not say so yet.
        specs: of all streams that nobody reads, but for those that have ended.
    """

    waiting: list[Waiting] = field(default_factory=list)
    to_pause: list[StreamSpec] = field(default_factory=list)
    specs: list[StreamSpec] = field(default_factory=list)

    def unsettled(self) -> set[str]:
        """Ids of those of which something is still to be done, by whomever."""
        return {one.spec.id for one in self.waiting} | {spec.id for spec in self.to_pause}

    def replaced(self, streams: Collection[str], found: Unread) -> Unread:
        """The same, but for such streams what was found of them."""
        return Unread(
            [one for one in self.waiting if one.spec.id not in streams] + found.waiting,
            [spec for spec in self.to_pause if spec.id not in streams] + found.to_pause,
            [spec for spec in self.specs if spec.id not in streams] + found.specs,
        )


def look(client: RedisClient, before: Unread, specs: Sequence[StreamSpec]) -> Unread:
    """Looks at leases in one round trip, and in another at the states of those that have none.

    Args:
        client: of Redis.
        before: of the look before.
        specs: of streams that this replica does not read.

    Returns:
        What is known of those.

    Raises:
        StoreUnavailable: Redis cannot do it now.
    """
    unread = _without_lease(client, specs)
    if not unread:
        return Unread()
    with redis_errors("look at the states of the streams", server_name(client)):
        pipeline: Any = client.pipeline(transaction=False)
        for spec in unread:
            pipeline.hmget(StreamKeys(spec.id).state, _FIELDS)
        answers = raise_first(pipeline.execute(raise_on_error=False))
    known = {one.spec.id: one.since for one in before.waiting}
    now = time.monotonic()
    found = Unread()
    for spec, values in zip(unread, answers, strict=True):
        status = StreamStatus.from_hash(
            {name.encode(): value for name, value in zip(_FIELDS, values, strict=True) if value is not None}
        )
        done = _done(status, spec)
        if not (done and status.state == "ended"):
            found.specs.append(spec)
        if spec.paused:
            if status.state != "paused":
                found.to_pause.append(spec)
        elif not done:
            left = status.ingest is not None or status.restarts > 0
            found.waiting.append(Waiting(spec, known.get(spec.id, now), left))
    return found


def _without_lease(client: RedisClient, specs: Sequence[StreamSpec]) -> list[StreamSpec]:
    """Those that nobody reads; as a rule none, and then that is all that is asked."""
    if not specs:
        return []
    with redis_errors("look at the leases of the streams", server_name(client)):
        pipeline: Any = client.pipeline(transaction=False)
        for spec in specs:
            pipeline.exists(StreamKeys(spec.id).lease)
        answers = raise_first(pipeline.execute(raise_on_error=False))
    return [spec for spec, leased in zip(specs, answers, strict=True) if not leased]


def _done(status: StreamStatus, spec: StreamSpec) -> bool:
    """Whether it ended or failed for good; who waits to try again still holds the stream."""
    return status.state in ("ended", "failed") and status.ingest is None and status.revision >= spec.revision
