"""What a stream looks like now: one picture, or pictures as they come."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Response
from pydantic import Base64Bytes, BaseModel, Field
from starlette.responses import StreamingResponse

from vocab.errors import StoreUnavailable
from vocab.redis_errors import raise_first, redis_errors
from workers.contract.keys import STREAMS, StreamKeys
from workers.gateway.connections import Connections
from workers.gateway.problems import Problem, responses

# Pictures are drawn only while somebody looks.
_WATCHED_S = 10
_FIRST_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.1
_BOUNDARY = "picture"

_MOST_STREAMS = 64
_WHOLE = (0.0, 0.0, 1.0, 1.0)

Map = Annotated[bool, Query(description="false: the plain picture, without the token map.")]
Streams = Annotated[
    list[str],
    Query(alias="stream", max_length=_MOST_STREAMS, description="Id of a stream; may be repeated."),
]
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture.", "content": {"image/jpeg": {}}}
}
_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Pictures as they come.", "content": {"multipart/x-mixed-replace": {}}}
}


class Picture(BaseModel):
    """The newest picture of a stream."""

    frame: int = Field(description="Number of the frame it shows.")
    jpeg: Base64Bytes
    part: tuple[float, float, float, float] = Field(
        default=_WHOLE,
        description="Left, top, right and bottom of what it shows, in 0..1 of the source picture, of which a "
        "model may see less than all.",
    )


class Pictures(BaseModel):
    """The newest pictures of several streams."""

    pictures: dict[str, Picture | None] = Field(
        description="By id; null where there is none yet, and for a stream that is not there."
    )


class _Viewer:
    """Looks at the newest picture of one stream."""

    def __init__(self, connections: Connections, stream: str, with_map: bool) -> None:
        self._connections = connections
        self._stream = stream
        self._keys = StreamKeys(stream)
        self._field = "jpeg" if with_map else "plain"
        self._watched_until = 0.0
        self._seen: bytes | None = None

    async def newer(self) -> bytes | None:
        """A picture (JPEG) that was not given before; None when there is none.

        Raises:
            StoreUnavailable: Redis cannot be used now.
        """
        client: Any = await self._connections.asynchronous()
        with redis_errors(f"look at {self._stream}", self._connections.where()):
            now = time.monotonic()
            if now > self._watched_until - _WATCHED_S / 2:
                await client.set(self._keys.watched, 1, ex=_WATCHED_S)
                self._watched_until = now + _WATCHED_S
            frame = await client.hget(self._keys.preview, "frame")
            if frame is None or frame == self._seen:
                return None
            self._seen = frame
            found: bytes | None = await client.hget(self._keys.preview, self._field)
            return found

    async def first(self) -> bytes:
        """The newest picture, waited for.

        Raises:
            Problem: none came.
            StoreUnavailable: Redis cannot be used now.
        """
        with anyio.move_on_after(_FIRST_WITHIN_S):
            while True:
                if (picture := await self.newer()) is not None:
                    return picture
                await anyio.sleep(_LOOK_EVERY_S)
        raise Problem(
            503,
            f"no picture of {self._stream} came within {_FIRST_WITHIN_S:.0f} s; see the state of the stream",
            "no-picture",
            {"Retry-After": "1"},
        )

    async def removed(self) -> bool:
        """Whether the stream is no longer there."""
        client = await self._connections.asynchronous()
        with redis_errors(f"look at {self._stream}", self._connections.where()):
            return not await client.hexists(STREAMS, self._stream)


def preview_routes(connections: Connections) -> APIRouter:
    """The routes that show pictures."""
    router = APIRouter(prefix="/v1", tags=["preview"])

    async def viewer(stream: str, with_map: bool) -> _Viewer:
        await connections.spec(stream)
        return _Viewer(connections, stream, with_map)

    @router.get(
        "/streams/{stream}/preview.jpg",
        response_class=Response,
        responses=_PICTURE | responses(401, 404, 503),
    )
    async def picture(stream: str, map: Map = True) -> Response:
        """The newest picture."""
        found = await (await viewer(stream, map)).first()
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get(
        "/streams/{stream}/preview.mjpeg",
        response_class=StreamingResponse,
        responses=_PICTURES | responses(401, 404, 503),
    )
    async def pictures(stream: str, map: Map = True) -> Response:
        """Pictures as they come, for an `img` element."""
        eye = await viewer(stream, map)
        return StreamingResponse(
            _parts(await eye.first(), eye),
            media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}",
            headers={"Cache-Control": "no-store"},
        )

    @router.get("/previews", responses=responses(401, 503))
    async def newest(streams: Streams, response: Response, map: Map = True) -> Pictures:
        """The newest pictures of several streams at once, without waiting: what a wall shows."""
        client: Any = await connections.asynchronous()
        response.headers["Cache-Control"] = "no-store"
        with redis_errors("look at streams", connections.where()):
            there = await client.hmget(STREAMS, streams)
            keys = {name: StreamKeys(name) for name, spec in zip(streams, there, strict=True) if spec}
            pipeline = client.pipeline(transaction=False)
            for one in keys.values():
                pipeline.set(one.watched, 1, ex=_WATCHED_S)
                pipeline.hmget(one.preview, "frame", "jpeg" if map else "plain", "part")
            found = raise_first(await pipeline.execute(raise_on_error=False))[1::2]
        pictures = {
            name: None
            if jpeg is None
            else Picture(frame=int(frame), jpeg=b64encode(jpeg), part=_bounds(part))
            for name, (frame, jpeg, part) in zip(keys, found, strict=True)
        }
        return Pictures(pictures=dict.fromkeys(streams) | pictures)

    return router


def _bounds(part: bytes | None) -> tuple[float, float, float, float]:
    if part is None:
        return _WHOLE
    left, top, right, bottom = json.loads(part)
    return left, top, right, bottom


async def _parts(first: bytes, eye: _Viewer) -> AsyncIterator[bytes]:
    yield _part(first)
    quiet = 0
    while True:
        await anyio.sleep(_LOOK_EVERY_S)
        try:
            found = await eye.newer()
            quiet = 0 if found is not None else quiet + 1
            if quiet % 20 == 19 and await eye.removed():
                return
        except StoreUnavailable:
            await anyio.sleep(1.0)
            continue
        if found is not None:
            yield _part(found)


def _part(picture: bytes) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"
