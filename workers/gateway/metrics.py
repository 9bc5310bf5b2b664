"""What Prometheus reads of the service."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from vocab.errors import StoreUnavailable
from workers.gateway.connections import Connections
from workers.gateway.problems import responses
from workers.metrics.service import ServiceCollector, look


def metric_routes(connections: Connections) -> APIRouter:
    """The route that Prometheus scrapes; with tokens it wants one that may read."""
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses=responses(401))
    async def metrics(request: Request) -> Response:
        """All streams as metrics of Prometheus. Any gateway knows them all, so one is to be scraped."""
        try:
            seen = await connections.call(look)
        except StoreUnavailable:
            seen = None
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Milliseconds with hundreds of streams: the event loop has results to pass on meanwhile.
        return Response(await to_thread.run_sync(encode, ServiceCollector(seen)), media_type=content_type)

    return router
