"""Results as they come, over Server-Sent Events and WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Query, WebSocket
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from workers.contract.cursor import Cursor
from workers.gateway.connections import BLOCK_S, Connections
from workers.gateway.history import history
from workers.gateway.messages import EVENTS_SCHEMA, History
from workers.gateway.problems import Problem, responses
from workers.gateway.tail import Event, Tail

_KEEP_ALIVE_S = 15
# A client that takes nothing for so long is let go; it resumes where it was.
_SEND_TIMEOUT_S = 60
_EXAMPLE = """id: 124.0-0.1732147200000-0
event: prediction
data: {"stream": "bikes", "frame": 123, …}

"""

After = Annotated[
    str | None,
    Query(
        description="Resume after this event id, or after that many results (0: from the oldest kept). "
        "Without it, what comes from now on."
    ),
]
LastEventId = Annotated[str | None, Header(description="As `after`; wins over it. Browsers send it.")]
Follow = Annotated[bool, Query(description="false: end when all that is kept was sent.")]
_TIME = "Unix seconds, by `captured_at`; of a file the seconds of `pts_s`."
Since = Annotated[float | None, Query(description=f"Only results from then on: {_TIME}")]
Until = Annotated[float | None, Query(description=f"Only results before then: {_TIME}")]
Limit = Annotated[int | None, Query(ge=1, description="End after that many predictions.")]


def result_routes(connections: Connections) -> APIRouter:
    """The routes that give a stream's events."""
    router = APIRouter(prefix="/v1/streams", tags=["results"])

    async def begin(stream: str, after: Cursor | None) -> tuple[Tail, list[Event]]:
        spec = await connections.spec(stream)
        client = await connections.asynchronous()
        tail = Tail(client, connections.where(), spec, BLOCK_S)
        return tail, await tail.start(after)

    @router.get(
        "/{stream}/results",
        response_class=EventSourceResponse,
        responses={
            200: {
                "description": "Events `prediction`, `energy`, `state` and `gap` (frames that were lost); "
                "the id of each is what to resume with. A WebSocket at `/v1/streams/{stream}/ws` (`after` as "
                "here) sends the same, each as one JSON object with `event`, `id` and `data`.",
                "content": {"text/event-stream": {"schema": EVENTS_SCHEMA, "example": _EXAMPLE}},
            },
            **responses(401, 404, 503),
        },
    )
    async def results(
        stream: str,
        after: After = None,
        last_event_id: LastEventId = None,
        follow: Follow = True,
        limit: Limit = None,
    ) -> Response:
        """Streams results as Server-Sent Events until the stream is removed."""
        tail, first = await begin(stream, _cursor(last_event_id or after))

        async def messages() -> AsyncIterator[ServerSentEvent]:
            async with aclosing(_limited(first, tail, follow, limit)) as events:
                async for event in events:
                    yield ServerSentEvent(event.data, event=event.name, id=str(event.cursor), sep="\n")

        return EventSourceResponse(
            messages(),
            ping=_KEEP_ALIVE_S,
            ping_message_factory=lambda: ServerSentEvent(comment="still here", sep="\n"),
            sep="\n",
            send_timeout=_SEND_TIMEOUT_S,
        )

    @router.get("/{stream}/history", response_model=History, responses=responses(401, 404, 503))
    async def past(
        stream: str,
        since: Since = None,
        until: Until = None,
        after: Annotated[int, Query(ge=0, le=10**15, description="The `next` of the page before.")] = 0,
        limit: Annotated[int, Query(ge=1, le=1000, description="Results of a page, at most.")] = 100,
    ) -> Response:
        """Results that are kept, oldest first, as pages of JSON."""
        spec = await connections.spec(stream)
        page = await connections.call(lambda client: history(client, spec.id, since, until, after, limit))
        return Response(page, media_type="application/json")

    @router.websocket("/{stream}/ws")
    async def websocket(socket: WebSocket, stream: str, after: str | None = None) -> None:
        tail, first = await begin(stream, _cursor(after))
        await socket.accept()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_until_it_leaves, socket, tasks.cancel_scope)
            async with aclosing(_limited(first, tail, True, None)) as events:
                async for event in events:
                    with anyio.move_on_after(_SEND_TIMEOUT_S) as sending:
                        await socket.send_text(_message(event))
                    if sending.cancelled_caught:
                        break
            await socket.close()
            tasks.cancel_scope.cancel()

    return router


async def _until_it_leaves(socket: WebSocket, scope: anyio.CancelScope) -> None:
    # What a client sends means nothing.
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()


def _message(event: Event) -> str:
    return f'{{"event":"{event.name}","id":"{event.cursor}","data":{event.data}}}'


async def _limited(first: list[Event], tail: Tail, follow: bool, limit: int | None) -> AsyncGenerator[Event]:
    for event in first:
        yield event
    left = limit
    async with aclosing(tail.events(follow)) as events:
        async for event in events:
            yield event
            if left is not None and event.name == "prediction":
                left -= 1
                if left == 0:
                    return


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        return Cursor.parse(text)
    except ValueError as error:
        fields = [{"field": "after", "reason": str(error)}]
        raise Problem(422, f"cannot resume there: {error}", "invalid", errors=fields) from None
