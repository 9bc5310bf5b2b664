"""Hands requests on to a cell, and what it answers back, as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import httpx
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from workers.cells.cell import Cell

# A first image waits for its model, and pictures of a stream that stands still for the next.
_PATIENT = httpx.Timeout(600.0, connect=2.0)
# Of a connection, not of what is said over it (RFC 9110, 7.6.1); lengths and encodings are made anew.
_OWN = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "content-length", "origin", "date", "server",
}  # fmt: skip


def asker(request: HTTPConnection) -> dict[str, str]:
    """Who asks, as a cell is told where its answer becomes part of another."""
    token = request.headers.get("authorization")
    return {} if token is None else {"Authorization": token}


async def opened(cell: Cell, request: Request, body: bytes) -> httpx.Response:
    """What a cell answers to a request; to be handed to `relayed`, or closed.

    Args:
        cell: that has what is asked for.
        request: as it came; where a page in a browser comes from is not passed on: that was checked here, and
            to the cell it is another site.
        body: of it.

    Raises:
        CellAwayError: it does not answer.
    """
    headers = {name: value for name, value in request.headers.items() if name not in _OWN}
    return await cell.open(request.method, _target(request), headers, content=body, timeout=_PATIENT)


def relayed(answer: httpx.Response) -> Response:
    """The same answer, as it comes."""

    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        except httpx.TransportError:
            # It broke off there, so it does here; who resumes finds out why.
            pass
        finally:
            with anyio.CancelScope(shield=True):
                await answer.aclose()

    told = {name: value for name, value in answer.headers.items() if name not in _OWN}
    if "content-length" in answer.headers:
        told["content-length"] = answer.headers["content-length"]
    return StreamingResponse(chunks(), answer.status_code, told)


async def passed_socket(cell: Cell, socket: WebSocket) -> None:
    """Hands on what a cell sends over a WebSocket, until any side ends it."""
    url = str(cell.url).rstrip("/").replace("http", "ws", 1) + _target(socket)
    try:
        async with connect(url, additional_headers=asker(socket), max_size=None) as theirs:
            await socket.accept()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_until_it_leaves, socket, tasks.cancel_scope)
                async for message in theirs:
                    await socket.send_text(message if isinstance(message, str) else message.decode())
                await socket.close()
                tasks.cancel_scope.cancel()
    except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError):
        # Who resumes finds out why.
        await socket.close()


async def _until_it_leaves(socket: WebSocket, scope: anyio.CancelScope) -> None:
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()


def _target(request: HTTPConnection) -> str:
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["raw_path"].decode("latin-1").partition("?")[0]
    return f"{path}?{query}" if query else path
