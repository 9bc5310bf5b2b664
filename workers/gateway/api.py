"""The HTTP API and the page as one application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from workers.access.bearer_tokens import BearerTokens
from workers.gateway.backend import Backend
from workers.gateway.bill import bill_routes
from workers.gateway.classes import class_routes
from workers.gateway.connections import Connections
from workers.gateway.crowd import Crowd
from workers.gateway.events import event_routes
from workers.gateway.find import find_routes
from workers.gateway.frames import frame_routes
from workers.gateway.guard import Guard
from workers.gateway.health import health_routes
from workers.gateway.messages import describe_messages
from workers.gateway.metrics import metric_routes
from workers.gateway.page import page_routes
from workers.gateway.preview import preview_routes
from workers.gateway.problems import answer_with_problems
from workers.gateway.results import result_routes
from workers.gateway.streams import stream_routes
from workers.gateway.words import word_routes
from workers.gateway.zones import zone_routes
from workers.settings.schema import ServiceSettings


def build_api(settings: ServiceSettings, backend: Backend) -> FastAPI:
    """The application; it keeps nothing of its own, so any number of them may run.

    Args:
        settings: of the service; `redis` names a server.
        backend: who predicts.

    Raises:
        UsageError: the token file cannot be used.
    """
    if settings.redis is None:
        raise ValueError("settings.redis must be the URL of a server")
    connections = Connections(settings.redis, settings.gateway.max_connections)
    token_file = settings.access.token_file
    tokens = None if token_file is None else BearerTokens(token_file)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await connections.close()

    app = FastAPIOffline(
        title="vwt-stream",
        version=version("vwt-stream"),
        redoc_url=None,
        static_url="/docs/static",
        # By itself the page has a server elsewhere check the schema.
        swagger_ui_parameters={"validatorUrl": None},
        lifespan=lifespan,
    )
    app.include_router(stream_routes(settings, connections))
    app.include_router(result_routes(connections))
    app.include_router(preview_routes(connections))
    app.include_router(event_routes(settings, connections))
    app.include_router(word_routes(settings, connections))
    app.include_router(bill_routes(settings.gateway, connections))
    app.include_router(frame_routes(settings, backend))
    app.include_router(find_routes(settings, connections, backend))
    app.include_router(zone_routes(connections, backend))
    app.include_router(class_routes(connections, backend))
    app.include_router(health_routes(connections, backend))
    app.include_router(metric_routes(settings.gateway, connections))
    app.include_router(page_routes())
    app.add_middleware(Crowd, settings=settings.gateway)
    # The last one added sees a request first.
    app.add_middleware(Guard, tokens=tokens, settings=settings.gateway)
    answer_with_problems(app)
    describe_messages(app)
    return app
