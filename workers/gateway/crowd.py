"""How many may use a gateway at once: in all, and each client, with room kept for those who look after it."""

from __future__ import annotations

import re
from collections import Counter

from starlette.types import ASGIApp, Receive, Scope, Send

from workers.gateway.problems import Problem
from workers.settings.schema import GatewaySettings

# What is answered at once: health, and looking after streams. For these a tenth of the room is kept.
_BRIEF = re.compile(r"/(healthz|readyz|metrics|v1/streams(/[^/]+)?)/?")
_RETRY_AFTER_S = "5"


class Crowd:
    """ASGI middleware that turns requests away when there are too many under way.

    A client is who holds a token, or else an address. Behind a proxy, all without a token are one.

    Args:
        app: behind it.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, settings: GatewaySettings) -> None:
        self._app = app
        self._most = settings.max_connections
        self._open = settings.max_connections - settings.max_connections // 10
        self._per_client = settings.max_connections_per_client
        self._brief = 0
        self._lasting: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and _BRIEF.fullmatch(scope["path"]):
            await self._call_brief(scope, receive, send)
        else:
            await self._call_lasting(scope, receive, send)

    async def _call_brief(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._brief + self._lasting.total() >= self._most:
            await self._refuse("this gateway serves all that it may at once", scope, receive, send)
            return
        self._brief += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._brief -= 1

    async def _call_lasting(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope["state"]["client"]
        if self._lasting[client] >= self._per_client:
            why = f"you have {self._per_client} requests and streams open, which is all that a client may"
            await self._refuse(f"{why} (gateway.max_connections_per_client)", scope, receive, send)
            return
        if self._lasting.total() >= self._open:
            why = f"this gateway has {self._open} requests and streams of results open"
            await self._refuse(f"{why} (gateway.max_connections)", scope, receive, send)
            return
        self._lasting[client] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._lasting[client] -= 1
            self._lasting += Counter()  # forgets who has none

    async def _refuse(self, why: str, scope: Scope, receive: Receive, send: Send) -> None:
        problem = Problem(
            503,
            f"{why}; close some, or ask again later",
            "busy",
            # Otherwise who was turned away keeps the connection.
            {"Retry-After": _RETRY_AFTER_S, "Connection": "close"},
        )
        await problem.response(scope["path"])(scope, receive, send)
