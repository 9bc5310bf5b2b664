"""What a stream looks like now: one picture, or pictures as they come."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Response
from starlette.responses import StreamingResponse

from vocab.errors import StoreUnavailable
from vocab.redis_errors import redis_errors
from workers.gateway.connections import Connections
from workers.gateway.problems import Problem, responses
from workers.service.keys import STREAMS, StreamKeys

# Pictures are drawn only while somebody looks.
_WATCHED_S = 10
_FIRST_WITHIN_S = 3.0
_LOOK_EVERY_S = 0.1
_BOUNDARY = "picture"

Map = Annotated[bool, Query(description="false: the plain picture, without the token map.")]
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture.", "content": {"image/jpeg": {}}}
}
_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"description": "Pictures as they come.", "content": {"multipart/x-mixed-replace": {}}}
}


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
    router = APIRouter(prefix="/v1/streams", tags=["preview"])

    async def viewer(stream: str, with_map: bool) -> _Viewer:
        await connections.spec(stream)
        return _Viewer(connections, stream, with_map)

    @router.get(
        "/{stream}/preview.jpg", response_class=Response, responses=_PICTURE | responses(401, 404, 503)
    )
    async def picture(stream: str, map: Map = True) -> Response:
        """The newest picture."""
        found = await (await viewer(stream, map)).first()
        return Response(found, media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    @router.get(
        "/{stream}/preview.mjpeg",
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

    return router


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
