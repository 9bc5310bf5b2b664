"""The visual words of a stream: what they are, how well they cover what it sees, and how they look."""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process
from fastapi import APIRouter
from starlette.responses import Response

from pipeline.tokenizers.registry import Value, kind_of
from vocab.connection import RedisClient, server_name
from vocab.keys import ScopeKeys
from vocab.redis_errors import redis_errors
from workers.contract.stream_store import StreamStore
from workers.gateway.connections import Connections
from workers.gateway.problems import Problem, responses, unavailable
from workers.settings.schema import ServiceSettings

# Of so many versions the pictures are kept; each is about a megabyte.
_KEPT_SHEETS = 8

_SHEET: dict[int | str, dict[str, Any]] = {
    200: {"description": "All words, the most used first.", "content": {"image/png": {}}}
}

T = TypeVar("T")


def word_routes(settings: ServiceSettings, connections: Connections) -> APIRouter:
    """The routes that show words."""
    url = settings.redis
    assert url is not None
    router = APIRouter(prefix="/v1/streams", tags=["words"])
    sheets: OrderedDict[tuple[str, int], bytes] = OrderedDict()
    one_at_a_time = CapacityLimiter(1)

    async def version_of(stream: str) -> tuple[str, int]:
        spec = await connections.spec(stream)
        version = await connections.call(lambda client: _current(client, spec.word_scope))
        if version is None:
            status = await connections.call(lambda client: StreamStore(client).status(stream))
            raise Problem(
                404, _why_none(stream, spec.tokenizer or status.tokenizer, spec.options), "no-words"
            )
        return spec.word_scope, version

    async def aside(function: Callable[[str, str], T], scope: str) -> T:
        # Words are read with PyTorch. In a process of its own it neither holds up who else is served here
        # while it is imported, nor stays for those who never look at words.
        try:
            return await to_process.run_sync(function, url, scope, limiter=one_at_a_time)
        except BrokenWorkerProcess as error:
            raise unavailable("the process that reads words was ended; try again in a moment") from error

    async def draw(scope: str) -> bytes:
        version, final, png = await aside(_drawn, scope)
        if final:
            sheets[scope, version] = png
            while len(sheets) > _KEPT_SHEETS:
                sheets.popitem(last=False)
        return png

    @router.get("/{stream}/words", responses=responses(401, 404, 503))
    async def words(stream: str) -> dict[str, Any]:
        """What `vwt vocab show --json` says: versions, and how well they covered the latest patches."""
        scope, _ = await version_of(stream)
        return await aside(_described, scope)

    @router.get("/{stream}/words.png", response_class=Response, responses=_SHEET | responses(401, 404, 503))
    async def sheet(stream: str) -> Response:
        """A picture of the current words, as `vwt vocab show --sheet` draws it."""
        current = await version_of(stream)
        png = sheets.get(current) or await draw(current[0])
        return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})

    return router


def _current(client: RedisClient, scope: str) -> int | None:
    key = ScopeKeys(scope).current
    with redis_errors(f"look up the version {key}", server_name(client)):
        value: Any = client.get(key)
    return None if value is None else int(value)


def _why_none(stream: str, tokenizer: str | None, options: Mapping[str, Value]) -> str:
    if tokenizer is not None and not kind_of(tokenizer).wants_words(options):
        return f"{stream} has no words: its tokenizer is {tokenizer}; with inter it learns some"
    return f"{stream} has no words yet; they are learned from what it sees, so let it run for a moment"


def _described(url: str, scope: str) -> dict[str, Any]:
    from workers.words.report import read_scope, to_json

    fields: dict[str, Any] = json.loads(to_json(read_scope(url, scope), time.time()))
    # Clients of the API have no use for where Redis is.
    del fields["redis"]
    return fields


def _drawn(url: str, scope: str) -> tuple[int, bool, bytes]:
    """Version, whether the picture stays as it is (how words are used is known only later), and PNG."""
    from workers.words.report import read_scope, sheet_png

    report = read_scope(url, scope)
    return report.vocabulary.version, report.newest_record is not None, sheet_png(report)
