"""Who may ask for what, and how much they may send; before any route sees a request."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qsl, urlencode, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workers.access.bearer_tokens import BearerTokens, Role
from workers.gateway.problems import Problem
from workers.settings.schema import GatewaySettings

# Without a token: nothing about any stream is told there.
_OPEN = ("/", "/healthz", "/readyz", "/docs", "/openapi.json")
_OPEN_BELOW = ("/docs/", "/page/")
# Browsers cannot set headers of those.
_TOKEN_IN_QUERY = (
    *("/results", "/ws", "/preview.jpg", "/preview.mjpeg", "/words.png", "/bill.csv"),
    *("/snapshot.jpg", "/clip.mp4", "/clip.mkv"),
)
_READING = ("GET", "HEAD", "OPTIONS")


class Guard:
    """ASGI middleware that refuses what is not allowed.

    With tokens, every request to the API needs one. Without, the service is for this machine alone, and what
    a page in a browser here could be made to send by others is refused: by its Host (DNS rebinding) and its
    Origin (requests across sites).

    Args:
        app: behind it.
        tokens: who may do what; None lets everyone in who is on this machine.
        settings: the limits.
    """

    def __init__(self, app: ASGIApp, tokens: BearerTokens | None, settings: GatewaySettings) -> None:
        self._app = app
        self._tokens = tokens
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        query_token = take_token(scope)
        try:
            headers = Headers(scope=scope)
            token = self._token(headers, query_token)
            state = scope.setdefault("state", {})
            state["role"] = role = await self._role(token)
            # Who it is to `Crowd`. The token itself stays here.
            address = (scope.get("client") or ("",))[0]
            state["client"] = address if token is None or role is None else f"token {hash(token)}"
            self._check_access(scope, headers)
            if scope["type"] == "http":
                receive = self._limited(scope, headers, receive)
        except Problem as problem:
            await problem.response(scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _token(self, headers: Headers, query_token: str | None) -> str | None:
        if self._tokens is None:
            return None
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        return bearer.strip() if kind.lower() == "bearer" else query_token

    async def _role(self, token: str | None) -> Role | None:
        if self._tokens is None:
            return "manage"
        # Looks at the file, which may be on a slow disk.
        return await to_thread.run_sync(self._tokens.role, token) if token else None

    def _check_access(self, scope: Scope, headers: Headers) -> None:
        path, role = scope["path"], scope["state"]["role"]
        changes = scope["type"] == "http" and scope["method"] not in _READING
        if self._tokens is None:
            _check_local(headers, may_act=changes or scope["type"] == "websocket", path=path)
        elif path in _OPEN or path.startswith(_OPEN_BELOW):
            return
        elif role is None:
            raise Problem(
                401,
                "this service wants a bearer token that it knows; `vwt token` makes one",
                "no-token",
                {"WWW-Authenticate": "Bearer"},
            )
        elif changes and role != "manage":
            raise Problem(403, "this token may only read; use one with the role manage", "read-only-token")

    def _limited(self, scope: Scope, headers: Headers, receive: Receive) -> Receive:
        image = scope["path"] == "/v1/frames" or scope["path"].endswith("/find")
        limit = self._settings.max_image_bytes if image else self._settings.max_body_bytes
        setting = f"gateway.{'max_image_bytes' if image else 'max_body_bytes'}"
        problem = Problem(
            413, f"the body is longer than {limit} bytes; send less or raise {setting}", "too-long"
        )
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > limit:
            raise problem
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise problem
            return message

        return counted


def take_token(scope: Scope) -> str | None:
    """Takes `?token=` out of the query, so that nothing behind logs it; None where it may not be."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    tokens = [value for key, value in pairs if key == "token"]
    if not tokens:
        return None
    scope["query_string"] = urlencode([pair for pair in pairs if pair[0] != "token"]).encode()
    reading = scope["type"] == "websocket" or scope["method"] in _READING
    return tokens[0] if reading and scope["path"].endswith(_TOKEN_IN_QUERY) else None


def _check_local(headers: Headers, may_act: bool, path: str) -> None:
    host = headers.get("host", "")
    if path != "/healthz" and not _is_loopback(host):
        raise Problem(
            403,
            "without tokens this service answers only to localhost, 127.0.0.1 and [::1]; "
            "to reach it by another name, start it with a token file",
            "foreign-host",
        )
    origin = headers.get("origin")
    if may_act and origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        raise Problem(
            403,
            "a page of another site may not do that; without a token file only the service's own may",
            "foreign-origin",
        )


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
