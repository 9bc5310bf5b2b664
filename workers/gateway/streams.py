"""Streams: add, list, show, change, remove."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import Field

from pipeline.clips.folder import ClipFolder
from pipeline.guard.promise import Promise, Watch
from pipeline.tokenizers.registry import TOKENIZERS, kind_of
from vocab.connection import RedisClient
from workers.access.sources import check_source
from workers.contract.changes import ENTRY
from workers.contract.history_log import HistoryLog
from workers.contract.stream_spec import StreamId, StreamSettings, StreamSpec
from workers.contract.stream_store import StreamStore
from workers.contract.tokenizer_fields import check_given
from workers.gateway.admission import admit
from workers.gateway.connections import Connections
from workers.gateway.problems import responses
from workers.gateway.stream_views import MOST, StreamList, StreamView, stream_page, stream_view
from workers.settings.folders import clip_folder
from workers.settings.schema import AccessSettings, ServiceSettings
from workers.sinks.settings import SinkSettings


class NewStream(StreamSettings):
    """A stream to add.

    Attributes:
        source: a full path, rtsp(s)://, http(s)://, camera:N or sample:NAME, as far as the service allows it.
        name: becomes the id; without it the source gives one.
    """

    source: Annotated[str, Field(min_length=1, max_length=4096, repr=False)]
    name: StreamId | None = None


_NEW: dict[str, Any] = {
    "camera": {
        "summary": "A camera, five frames a second",
        "value": {
            "source": "rtsp://user:password@camera.example/stream",
            "name": "yard",
            "fps": 5,
            "labels": {"site": "north"},
        },
    },
    "sample": {
        "summary": "A sample clip, again and again",
        "value": {"source": "sample:bikes", "loop": True},
    },
}
_OTHER = [kind for kind in TOKENIZERS.values() if kind.options][1]
_CHANGES: dict[str, Any] = {
    "pause": {"summary": "Stop reading it for now", "value": {"paused": True}},
    "tokenizer": {"summary": "Another tokenizer", "value": {"tokenizer": _OTHER.name, **_OTHER.check({})}},
}


def stream_routes(settings: ServiceSettings, connections: Connections) -> APIRouter:
    """The routes of the streams API."""
    router = APIRouter(prefix="/v1/streams", tags=["streams"])

    @router.post("", status_code=201, responses=responses(401, 403, 409, 413, 503, 507))
    async def add(asked: Annotated[NewStream, Body(openapi_examples=_NEW)], response: Response) -> StreamView:
        """Adds a stream. The service reads it from then on, until it is removed."""
        view = await connections.call(lambda client: stream_view(client, _add(client, asked, settings)))
        response.headers["Location"] = view.links["self"]
        return view

    @router.get("", responses=responses(401, 503))
    async def list_streams(
        limit: Annotated[int, Query(ge=1, le=MOST, description="Most streams of the page.")] = MOST,
        after: Annotated[
            str | None, Query(max_length=64, description="`next` of the page before; nothing for the first.")
        ] = None,
        since: Annotated[
            str | None,
            Query(pattern=ENTRY, description="`changes` of an earlier answer, to hear what changed since."),
        ] = None,
    ) -> StreamList:
        """Lists streams by id, a page at a time.

        With `since` the answer also has streams of other pages that were added, changed or removed
        meanwhile: who follows many asks for one page after the other, and misses none of these.
        """
        return await connections.call(lambda client: stream_page(client, limit, after, since))

    @router.get("/{stream}", responses=responses(401, 404, 503))
    async def show(stream: str) -> StreamView:
        """Shows a stream and what it is doing."""
        return await connections.call(lambda client: stream_view(client, StreamStore(client).get(stream)))

    @router.patch("/{stream}", responses=responses(401, 403, 404, 413, 503))
    async def change(
        stream: str, changes: Annotated[StreamSettings, Body(openapi_examples=_CHANGES)]
    ) -> StreamView:
        """Changes the fields that are given, `labels` and `sinks` as a whole; the others stay."""
        return await connections.call(
            lambda client: stream_view(client, _change(client, stream, changes, settings))
        )

    @router.delete("/{stream}", status_code=204, responses=responses(401, 403, 404, 503))
    async def remove(stream: str) -> None:
        """Removes a stream with its results."""
        await connections.call(lambda client: _remove(client, stream, clip_folder(settings)))

    return router


def _add(client: RedisClient, asked: NewStream, settings: ServiceSettings) -> StreamSpec:
    store = StreamStore(client)
    name = check_source(asked.source, settings.access).name
    _check(asked.sinks, settings.access)
    given = asked.model_dump(exclude={"name"})
    if "model" not in asked.model_fields_set:
        given |= settings.model_settings | asked.model_dump(include=asked.model_fields_set & {"fit", "size"})
    _check_tokenizer(asked, asked.model_fields_set)
    admit(client, store.all().values(), StreamSpec(id=asked.name or name, **given), settings)
    if asked.name is None:
        return store.add_named(name, given)
    return store.add(StreamSpec(id=asked.name, **given))


def _remove(client: RedisClient, stream: str, clips: ClipFolder) -> None:
    StreamStore(client).remove(stream)
    clips.forget(stream)


def _check(sinks: Sequence[SinkSettings], access: AccessSettings) -> None:
    for sink in sinks:
        sink.check(access)


def _change(
    client: RedisClient, stream: str, changes: StreamSettings, settings: ServiceSettings
) -> StreamSpec:
    _check(changes.sinks, settings.access)
    given = changes.model_dump(exclude_unset=True)
    store = StreamStore(client)
    if not given:
        return store.get(stream)
    present = store.get(stream)
    # Who sends back all that was shown asks for what differs.
    differs = [name for name, value in given.items() if getattr(present, name) != value]
    _check_tokenizer(present.model_copy(update=given), differs, store.status(stream).tokenizer)
    changed = store.change(stream, given)
    if changed.history is None and present.history is not None:
        HistoryLog(client, stream).forget()
    return changed


def _check_tokenizer(settings: StreamSettings, given: Collection[str], in_use: str | None = None) -> None:
    """Refuses what its tokenizer does not take, or cannot promise.

    Args:
        settings: as they are to be.
        given: names of those that the caller gave.
        in_use: the tokenizer that runs where none was asked for; None where that is not known.
    """
    # Where it is not known it is the first that most models take, whose options the page shows, too.
    kind = kind_of(settings.tokenizer or in_use or next(iter(TOKENIZERS)))
    check_given(kind, settings, given)
    promise = None
    if settings.guard is not None:
        kept = None if settings.tokenizer is None else kind
        promise = Promise(settings.guard, settings.guard_by).check(kept)
    held = None if kind.holds is None else float(settings.options[kind.holds])
    Watch(settings.audit, promise, least=settings.min_target).check().check_least(held)
