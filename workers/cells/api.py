"""The API of many cells as one: what is of a stream goes to its cell, what is of all is put together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
from fastapi import Body, FastAPI, Query, Request, WebSocket
from prometheus_client.exposition import choose_encoder
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from workers.access.bearer_tokens import BearerTokens
from workers.cells import merging
from workers.cells.cell import Cell, CellAwayError
from workers.cells.directory import Directory, Refused
from workers.cells.metrics import CellsCollector
from workers.cells.passing import asker, opened, passed_socket, relayed
from workers.gateway.bill import as_csv
from workers.gateway.crowd import Crowd
from workers.gateway.guard import Guard, take_token
from workers.gateway.problems import answer_with_problems
from workers.settings.schema import GatewaySettings

_ANY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_Streams = Annotated[list[str], Query(alias="stream", max_length=64)]
_NO_STORE = {"Cache-Control": "no-store"}


class TokenInHeader:
    """ASGI middleware that has a token of the query in a header, where it is passed on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] in ("http", "websocket"):
            token = take_token(scope)
            names = {name for name, _ in scope["headers"]}
            if token is not None and b"authorization" not in names:
                scope["headers"] = [*scope["headers"], (b"authorization", f"Bearer {token}".encode())]
        await self._app(scope, receive, send)


def build_directory(cells: Sequence[Cell], tokens: BearerTokens | None, settings: GatewaySettings) -> FastAPI:
    """The application; any number of them may run.

    Args:
        cells: the services, which know the same tokens.
        tokens: who may do what; None where only this machine asks.
        settings: the limits of who asks.
    """
    directory = Directory(cells)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for cell in cells:
            await cell.close()

    # Its documentation is that of a cell.
    app = FastAPI(
        title="vwt-stream cells", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan
    )

    async def pages(request: Request, path: str) -> list[Any]:
        """What each cell that answers says to the same question, see `asker`."""
        query = request.url.query.encode()

        def ask(cell: Cell) -> Awaitable[httpx.Response]:
            return cell.ask("GET", path, asker(request), params=query)

        found, _ = await directory.ask_all(ask)
        return list(found.values())

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    async def ready(request: Request) -> Response:
        found = await directory.ready()
        if request.state.role is None:
            found = {name: cell | {"reason": None} for name, cell in found.items()}
        status = 200 if any(cell["ok"] for cell in found.values()) else 503
        return JSONResponse({"checks": found}, status)

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        collector = CellsCollector(await directory.metrics(asker(request)))
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(collector), media_type=content_type)

    @app.get("/v1/cells")
    async def all_cells() -> dict[str, Any]:
        return {"cells": await directory.ready()}

    @app.get("/v1/streams")
    async def streams(request: Request) -> Any:
        return await directory.streams(asker(request), request.query_params)

    @app.post("/v1/streams")
    async def add(request: Request, asked: Annotated[dict[str, Any], Body()]) -> Response:
        answer = await directory.add(asked, asker(request))
        told = {name: answer.headers[name] for name in ("Location", "Retry-After") if name in answer.headers}
        return Response(answer.content, answer.status_code, told, answer.headers.get("content-type"))

    @app.get("/v1/previews")
    async def previews(request: Request, streams: _Streams) -> Any:
        by_cell: dict[Cell, list[str]] = {}
        for stream in streams:
            for cell in directory.cells.values():
                if stream in cell.views:
                    by_cell.setdefault(cell, []).append(stream)
                    break
        more = {name: value for name, value in request.query_params.items() if name != "stream"}

        async def look(cell: Cell, own: list[str]) -> dict[str, Any]:
            try:
                answer = await cell.ask("GET", "/v1/previews", asker(request), params={"stream": own, **more})
            except CellAwayError:
                return {}
            found: dict[str, Any] = answer.json()["pictures"] if answer.is_success else {}
            return found

        found = await asyncio.gather(*(look(cell, own) for cell, own in by_cell.items()))
        pictures = {name: picture for some in found for name, picture in some.items()}
        return JSONResponse({"pictures": dict.fromkeys(streams) | pictures}, headers=_NO_STORE)

    @app.get("/v1/events")
    async def events(request: Request) -> Any:
        return merging.events(await pages(request, "/v1/events"))

    @app.get("/v1/bill")
    async def bill(request: Request) -> Any:
        return merging.bill(await pages(request, "/v1/bill"))

    @app.get("/v1/bill.csv")
    async def table(request: Request) -> Response:
        bill = merging.bill(await pages(request, "/v1/bill"))
        return as_csv(bill["lines"], bill["currency"])

    @app.api_route("/v1/streams/{stream}", methods=_ANY)
    @app.api_route("/v1/streams/{stream}/{rest:path}", methods=_ANY)
    async def of_a_stream(request: Request, stream: str) -> Response:
        body, who = await request.body(), asker(request)
        cell = await directory.cell_of(stream, who)
        answer = await opened(cell, request, body)
        if answer.status_code == httpx.codes.NOT_FOUND and (other := await moved_to(stream, who)) != cell:
            await answer.aclose()
            answer = await opened(other, request, body)
        if request.method == "DELETE" and answer.is_success:
            cell.views.pop(stream, None)
        return relayed(answer)

    async def moved_to(stream: str, who: dict[str, str]) -> Cell:
        """Where a stream is that is no more where it was seen."""
        return await directory.cell_of(stream, who, look=True)

    @app.websocket("/v1/streams/{stream}/ws")
    async def results(socket: WebSocket, stream: str) -> None:
        try:
            cell = await directory.cell_of(stream, asker(socket))
        except (Refused, CellAwayError):
            await socket.close()
        else:
            await passed_socket(cell, socket)

    @app.get("/", name="page")
    @app.get("/page/{file:path}")
    @app.get("/docs")
    @app.get("/docs/{file:path}")
    @app.get("/openapi.json")
    @app.post("/v1/frames")
    async def of_any(request: Request) -> Response:
        body, said = await request.body(), None
        for cell in cells:
            try:
                return relayed(await opened(cell, request, body))
            except CellAwayError as error:
                said = error
        assert said is not None
        raise said

    @app.exception_handler(Refused)
    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        answer = error.answer
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    app.add_middleware(Crowd, settings=settings)
    app.add_middleware(Guard, tokens=tokens, settings=settings)
    # The last one added sees a request first.
    app.add_middleware(TokenInHeader)
    answer_with_problems(app)
    return app
