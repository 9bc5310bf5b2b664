"""The events of streams, by time, with their pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from anyio import to_thread
from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from pipeline.clips.folder import ClipFolder
from vocab.connection import RedisClient
from workers.contract.event_log import EventLog, newest_of, noted_at, pictured
from workers.contract.stream_store import StreamStore
from workers.gateway.connections import Connections
from workers.gateway.problems import Problem, responses
from workers.settings.folders import clip_folder
from workers.settings.schema import ServiceSettings

_BY = "Unix seconds, by `noted_at`."
Since = Annotated[float | None, Query(ge=0, le=1e11, description=f"Only events from then on: {_BY}")]
Until = Annotated[float | None, Query(ge=0, le=1e11, description=f"Only events before then: {_BY}")]
Limit = Annotated[int, Query(ge=1, le=1000, description="Events of a page, and those of the same moment.")]
Severity = Annotated[
    Literal["info", "warning", "alarm"] | None, Query(description="Only events of this severity.")
]
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture.", "content": {"image/jpeg": {}}}
}
_TYPES = {"mp4": "video/mp4", "mkv": "video/x-matroska"}
_CLIP: dict[int | str, dict[str, Any]] = {
    200: {"description": "A clip.", "content": {name: {} for name in _TYPES.values()}},
    206: {"description": "The range of it that was asked for."},
}
# What belongs to an event never changes.
_FOR_GOOD = {"Cache-Control": "private, max-age=86400, immutable"}
_NOT_HERE = "it is kept no longer, or in the folder of another node"


class EventView(BaseModel):
    """The start or the end of an event, or that its clip is there or cannot be had; all have its id."""

    model_config = ConfigDict(extra="allow")

    stream: str
    kind: Literal["event"]
    id: str = Field(description="Of stream, rule and frame: the same however often it is told.")
    rule: str
    what: str
    state: Literal["start", "end", "clip"]
    at: float | None = Field(description="Unix seconds of the frame or status; null of a file.")
    pts_s: float | None
    frame: int | None
    severity: str
    text: str
    value: float | None
    boxes: list[dict[str, Any]]
    began: dict[str, Any] | None = Field(
        description="at, pts_s and frame; of a start: since when it is so, of an end: those of the start."
    )
    snapshot: str | None = Field(description="Path of its picture, while that is kept; null without one.")
    clip: str | None = Field(description="Path of its clip, while that is kept; null without one.")
    clip_reason: str | None = Field(
        default=None, description="Why there is no clip, of a rule that asks for one."
    )
    duration_s: float | None = None
    reason: str | None = None
    noted_at: float = Field(description="Unix seconds when the service noted it.")


class Events(BaseModel):
    """Events, newest first."""

    events: list[EventView]
    next: float | None = Field(description="What to give as `until` for older ones; null after the last.")


def event_routes(settings: ServiceSettings, connections: Connections) -> APIRouter:
    """The routes of events."""
    clips = clip_folder(settings)
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.get("/events", responses=responses(401, 503))
    async def of_all(
        since: Since = None, until: Until = None, limit: Limit = 100, severity: Severity = None
    ) -> Events:
        """What rules made of the results of all streams."""

        def read(client: RedisClient) -> Events:
            return _page(client, clips, StreamStore(client).all(), since, until, limit, severity)

        return await connections.call(read)

    @router.get("/streams/{stream}/events", responses=responses(401, 404, 503))
    async def of_one(
        stream: str,
        since: Since = None,
        until: Until = None,
        limit: Limit = 100,
        severity: Severity = None,
    ) -> Events:
        """What rules made of the results of a stream."""
        spec = await connections.spec(stream)

        def read(client: RedisClient) -> Events:
            return _page(client, clips, [spec.id], since, until, limit, severity)

        return await connections.call(read)

    @router.get(
        "/streams/{stream}/events/{event}/snapshot.jpg",
        response_class=Response,
        responses=_PICTURE | responses(401, 404, 503),
    )
    async def picture(stream: str, event: str) -> Response:
        """What was seen as an event began; of the newest events."""
        spec = await connections.spec(stream)
        found = await connections.call(lambda client: EventLog(client, spec.id).picture(event))
        if found is None:
            raise Problem(
                404, f"there is no picture of event {event!r}, or it is kept no longer", "no-picture"
            )
        return Response(found, media_type="image/jpeg", headers=_FOR_GOOD)

    @router.get(
        "/streams/{stream}/events/{event}/clip.{ending}",
        response_class=FileResponse,
        responses=_CLIP | responses(401, 404, 503),
    )
    async def clip(stream: str, event: str, ending: Literal["mp4", "mkv"]) -> FileResponse:
        """The seconds around an event's beginning, as its source sent them; takes a `Range`."""
        spec = await connections.spec(stream)
        found = await to_thread.run_sync(clips.find, spec.id, event)
        if found is None or found.suffix != f".{ending}":
            raise Problem(404, f"there is no clip of event {event!r}: {_NOT_HERE}", "no-clip")
        return FileResponse(found, media_type=_TYPES[ending], headers=_FOR_GOOD)

    return router


def _page(
    client: RedisClient,
    clips: ClipFolder,
    streams: Iterable[str],
    since: float | None,
    until: float | None,
    limit: int,
    severity: str | None,
) -> Events:
    """A page of the events of some streams; it never ends amid those of one moment."""
    least = "-" if since is None else str(_ms(since))
    most = "+" if until is None else str(max(_ms(until) - 1, 0))
    if until is not None and _ms(until) == 0:
        return Events(events=[], next=None)
    # No two of a stream are of one moment.
    entries = newest_of(client, [*streams], least, most, limit + 1)
    found = sorted(((noted_at(entry), json.loads(text)) for entry, text in entries), key=lambda one: -one[0])
    shown = found if len(found) <= limit else [one for one in found if one[0] >= found[limit - 1][0]]
    wanted = [(at, event) for at, event in shown if severity is None or event["severity"] == severity]
    pictures = pictured(client, sorted({event["stream"] for _, event in wanted}))
    views = [
        EventView(
            **event
            | {"snapshot": event["snapshot"] if event["id"] in pictures[event["stream"]] else None}
            | _clip_of(event, clips),
            noted_at=at,
        )
        for at, event in wanted
    ]
    return Events(events=views, next=shown[-1][0] if len(shown) < len(found) else None)


def _clip_of(event: dict[str, Any], clips: ClipFolder) -> dict[str, str | None]:
    """What is so of its clip by now; nothing where its rule asks for none."""
    if "clip_reason" not in event:
        return {}
    found = clips.find(event["stream"], event["id"])
    if found is None:
        return {"clip": None, "clip_reason": event["clip_reason"] or _NOT_HERE}
    path = f"/v1/streams/{event['stream']}/events/{event['id']}/clip{found.suffix}"
    return {"clip": path, "clip_reason": None}


def _ms(seconds: float) -> int:
    # 1700000000.123 is a little more than itself, times 1000.
    return math.ceil(round(seconds * 1000, 3))
