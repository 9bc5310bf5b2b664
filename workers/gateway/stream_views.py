"""Streams as the API shows them, one or a page of many."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field

from pipeline.guard.stream_fidelity import GuardStatus
from vocab.connection import RedisClient
from workers.contract.changes import changed_since
from workers.contract.share import Share
from workers.contract.sink_offsets import sink_statuses
from workers.contract.stream_spec import StreamSettings, StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import StreamStore

# Of a page; about a megabyte.
MOST = 1000


class Shown(BaseModel):
    """What a stream does as people are told it, in words.

    Attributes:
        state: that of its status, or degraded where it runs, but loses frames.
        reason: why, and what helps; null when there is nothing to say.
        guard: what its guard does; null without one.
        sharing: what it gets where there is not enough for all, or of a budget; null where it need not share.
    """

    state: str
    reason: str | None
    guard: str | None
    sharing: str | None


class StreamView(BaseModel):
    """A stream as the API shows it; `source` is without credentials."""

    id: str
    source: str
    created_at: float
    revision: int
    settings: dict[str, Any] = Field(
        description="As given when the stream was added or changed. Where no tokenizer was given, the one in "
        "use; null until the model is known."
    )
    labels: dict[str, str]
    status: StreamStatus
    shown: Shown
    sinks: list[dict[str, Any]] = Field(description="What each is doing, and where it delivers to.")
    links: dict[str, str]


class StreamList(BaseModel):
    """A page of streams, by id."""

    streams: list[StreamView]
    next: str | None = Field(description="What `after` is for the next page; null where this is the last.")
    total: int = Field(description="How many streams there are.")
    changes: str = Field(description="What `since` is to hear of changes from now on.")
    changed: list[StreamView] | None = Field(
        description="Streams that were added or changed since `since`, beside those of the page; null "
        "without it, and where too many may have changed to tell: list all again."
    )
    gone: list[str] = Field(description="Ids of streams that were removed since `since`.")


def stream_page(client: RedisClient, limit: int, after: str | None, since: str | None) -> StreamList:
    """A page of the streams, and what was announced meanwhile of the others.

    What a running stream does changes with each frame, so no answer about a page is ever as good as the last
    one (an ETag would never match); what was added, changed or removed is rare, and known without a look.

    Args:
        client: of Redis.
        limit: most streams of the page, and most others that changed.
        after: id that it begins after; there need be no stream of it any more.
        since: `changes` of an earlier answer; None to hear of no changes.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    store = StreamStore(client)
    # Before the look: what changes meanwhile is told again.
    heard, now = changed_since(client, since)
    ids = store.ids()
    begin = 0 if after is None else bisect_right(ids, after)
    page = ids[begin : begin + limit]
    others: set[str] | None = None if heard is None or len(heard) > limit else heard - set(page)
    found = {view.id: view for view in _views(client, store.some([*page, *sorted(others or ())]).values())}
    return StreamList(
        streams=[found[stream] for stream in page if stream in found],
        next=page[-1] if begin + limit < len(ids) else None,
        total=len(ids),
        changes=now,
        changed=None if others is None else [found[stream] for stream in sorted(others) if stream in found],
        gone=sorted((others or set()) - found.keys()),
    )


def stream_view(client: RedisClient, spec: StreamSpec) -> StreamView:
    """One stream.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    return _views(client, [spec])[0]


def _views(client: RedisClient, specs: Iterable[StreamSpec]) -> list[StreamView]:
    """In two round trips, however many."""
    wanted = list(specs)
    statuses = StreamStore(client).statuses([spec.id for spec in wanted])
    sinks = sink_statuses(client, wanted)
    return [_shown(*found) for found in zip(wanted, statuses, sinks, strict=True)]


def _shown(spec: StreamSpec, status: StreamStatus, sinks: list[dict[str, Any]]) -> StreamView:
    here = f"/v1/streams/{spec.id}"
    links = {name: f"{here}/{name}" for name in ("results", "events", "ws")}
    links |= {"self": here, "preview": f"{here}/preview.mjpeg"}
    shown = spec.model_dump(include=set(StreamSettings.model_fields) - {"labels", "sinks"})
    state, reason = status.shown
    guard = None if status.guard is None else GuardStatus(**status.guard).text()
    sharing = None if status.sharing is None else Share(**status.sharing).text()
    return StreamView(
        id=spec.id,
        source=spec.display,
        created_at=spec.created_at,
        revision=spec.revision,
        settings=shown | {"tokenizer": spec.tokenizer or status.tokenizer},
        labels=spec.labels,
        status=status,
        shown=Shown(state=state, reason=reason, guard=guard, sharing=sharing),
        sinks=sinks,
        links=links,
    )
