"""Finds moments of a stream's history that look like a picture, or like what a text says."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from pipeline.history import Found, Wanted, find
from pipeline.history.find import DEFAULT_APART_S, DEFAULT_TOP
from vocab.connection import RedisClient
from workers.contract.history_log import HistoryLog
from workers.contract.messages import TokenSettings
from workers.contract.stream_spec import StreamSpec
from workers.gateway.backend import Backend
from workers.gateway.connections import Connections
from workers.gateway.frames import IMAGE_BODY, check_image, image_of
from workers.gateway.problems import Problem, responses
from workers.settings.schema import ServiceSettings

# Each search reads a whole history, of up to `StreamSettings.history` bytes.
_AT_ONCE = 2


class FindQuery(BaseModel):
    """What of a history is searched, and how."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    text: str | None = Field(
        default=None,
        min_length=1,
        max_length=300,
        description='What a frame may show, such as "a red van"; then no picture is sent. Of models with '
        "labels or a text tower (settings inference.labels and inference.text_towers).",
    )
    box: str | None = Field(
        default=None,
        max_length=100,
        description="x,y,w,h in 0..1 of the picture: only this part of it counts. Null for all of it.",
    )
    since: float | None = Field(
        default=None,
        description="Seconds from which on: of the wall clock for a live source, of presentation for a file.",
    )
    until: float | None = Field(default=None, description="Seconds before which.")
    top: Annotated[int, Field(ge=1, le=100)] = Field(default=DEFAULT_TOP, description="How many moments.")
    apart: Annotated[float, Field(ge=0)] = Field(
        default=DEFAULT_APART_S,
        description="Of frames nearer than so many seconds the best stands for all; 0 for every frame.",
    )


class FoundMoment(BaseModel):
    """A moment that was found."""

    frame: int
    pts_s: float | None
    captured_at: float | None
    score: float = Field(description="Cosine to what was looked for; 1 for the same picture.")
    box: list[float] | None = Field(
        description="x, y, w, h of the thing that was found, in 0..1 of the picture: of streams with "
        "`changed` or `classes`, where a box smaller than half the picture's sides was looked for. Null for "
        "none."
    )
    jpeg: str | None = Field(description="A small picture in base64; null where it is no longer kept.")


class FoundMoments(BaseModel):
    """What was found."""

    kept: int = Field(description="How many moments were searched, those of other times included.")
    moments: list[FoundMoment] = Field(description="The most alike first.")


class FindWays(BaseModel):
    """What a history can be searched by."""

    picture: bool = Field(description="A picture; so of every stream that keeps a history.")
    text: bool = Field(description="A text: where its model has labels or a text tower.")


def find_routes(settings: ServiceSettings, connections: Connections, backend: Backend) -> APIRouter:
    """The route that searches a history."""
    router = APIRouter(prefix="/v1/streams", tags=["find"])
    limiter = CapacityLimiter(_AT_ONCE)

    @router.post(
        "/{stream}/find",
        responses=responses(401, 403, 404, 409, 413, 415, 503),
        openapi_extra={"requestBody": IMAGE_BODY | {"required": False}},
    )
    async def find_moments(
        stream: str, request: Request, query: Annotated[FindQuery, Query()]
    ) -> FoundMoments:
        """Finds moments of the stream that look like a picture (the body, or the file `image` of a form), or
        like what `text` says."""
        spec = await connections.spec(stream)
        if spec.history is None:
            raise Problem(
                409,
                f"{stream} keeps no history: change its setting history to how many bytes it may take",
                "no-history",
            )
        data = await image_of(request)
        if query.text is None:
            check_image(data, settings.gateway.max_image_pixels)
        elif data or query.box is not None:
            raise Problem(
                422, "a text is looked for by itself: send no picture and no box with it", "invalid"
            )
        tokens = TokenSettings(spec.model, "full", {}, spec.word_scope, spec.fit, spec.size)
        async with limiter:
            if query.text is None:
                wanted = await backend.look(data, tokens, query.box)
            else:
                wanted = await backend.text(query.text, tokens)
            return await connections.call(lambda client: _found(client, spec, wanted, query))

    @router.get("/{stream}/find", responses=responses(401, 404, 503))
    async def ways(stream: str) -> FindWays:
        """Says what the stream's history can be searched by."""
        spec = await connections.spec(stream)
        own, kept = settings.inference, spec.history is not None
        named = (own.labels.keys() | own.text_towers.keys()) - own.names.keys()
        return FindWays(picture=kept, text=kept and spec.model in named)

    return router


def _found(client: RedisClient, spec: StreamSpec, wanted: Wanted, query: FindQuery) -> FoundMoments:
    log = HistoryLog(client, spec.id)
    records = log.records(spec.model)
    if records is None or not wanted.fits(records):
        # What another model saw before the stream was changed cannot be compared.
        return FoundMoments(kept=0, moments=[])
    found = find(records, wanted, query.top, query.since, query.until, query.apart)
    pictures = log.pictures([one.moment.frame for one in found])
    moments = [_moment(one, jpeg) for one, jpeg in zip(found, pictures, strict=True)]
    return FoundMoments(kept=len(records), moments=moments)


def _moment(found: Found, jpeg: bytes | None) -> FoundMoment:
    return FoundMoment(
        frame=found.moment.frame,
        pts_s=found.moment.pts_s,
        captured_at=found.moment.captured_at,
        score=round(found.score, 4),
        box=None if found.box is None else [round(side, 3) for side in found.box],
        jpeg=None if jpeg is None else b64encode(jpeg).decode(),
    )
