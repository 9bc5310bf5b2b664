"""Whether the process lives, and whether the service can do its work."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from pipeline.errors import ServiceError
from pipeline.redact import redact
from vocab.errors import StoreUnavailable
from workers.gateway.backend import Backend
from workers.gateway.connections import Connections
from workers.gateway.problems import responses, unavailable


class Check(BaseModel):
    """One thing that the service needs."""

    ok: bool
    reason: str | None = None


class Ready(BaseModel):
    """What the service needs, by name."""

    checks: dict[str, Check]


def health_routes(connections: Connections, backend: Backend) -> APIRouter:
    """The routes that probes ask; open to all, but reasons are told only to those who may read."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process lives."""
        return {"status": "ok"}

    @router.get("/readyz", response_model=Ready, responses=responses(503))
    async def ready(request: Request) -> Response | Ready:
        """Redis and Inference answer."""
        checks = {
            "redis": await _check(connections.ping()),
            "inference": await _check(backend.ready()),
        }
        if request.state.role is None:
            checks = {name: Check(ok=check.ok) for name, check in checks.items()}
        failed = [name for name, check in checks.items() if not check.ok]
        if not failed:
            return Ready(checks=checks)
        problem = unavailable(f"not ready: {' and '.join(failed)} cannot be used now; see checks")
        shown = {name: check.model_dump() for name, check in checks.items()}
        return problem.response(request.scope["path"], checks=shown)

    return router


async def _check(asked: Awaitable[Any]) -> Check:
    try:
        await asked
    except (StoreUnavailable, ServiceError) as error:
        return Check(ok=False, reason=redact(str(error)))
    return Check(ok=True)
