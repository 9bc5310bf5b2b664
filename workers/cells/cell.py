"""One service of several, asked over HTTP."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import httpx

from pipeline.errors import UsageError
from pipeline.redact import redact
from workers.gateway.problems import Problem, unavailable

_CONNECT_S = 2.0
# What is asked of every cell at once waits for the slowest of those that answer.
_ANSWER_S = 5.0
# One that did not answer is not waited for again so soon: its failure is to cost the others nothing.
_REST_S = 5.0
_AWAY = (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError)


class CellAwayError(Problem):
    """A cell does not answer.

    Args:
        name: of the cell.
        why: in words.
    """

    def __init__(self, name: str, why: str) -> None:
        whole = unavailable(f"the cell {name} does not answer: {why}; the others go on without it")
        super().__init__(whole.status_code, whole.detail, whole.kind, whole.headers)
        self.reason = f"the cell {name} does not answer: {why}"


class Cell:
    """A service behind a URL.

    Args:
        name: as people call it.
        url: of the service, such as http://north:8000.

    Attributes:
        name: as given.
        url: as given.
        views: its streams by id, as it last showed them.

    Raises:
        UsageError: the URL cannot be one.
    """

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.views: dict[str, dict[str, Any]] = {}
        try:
            self.url = httpx.URL(url)
        except (httpx.InvalidURL, UnicodeEncodeError):
            self.url = httpx.URL()
        if self.url.scheme not in ("http", "https") or not self.url.host:
            raise UsageError(f"{redact(url)} is no URL of the cell {name}: give {name}=http://host:8000")
        # What a person has open is bounded where they come in; here a bound would let one hold up all.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._http = httpx.AsyncClient(
            base_url=self.url, timeout=httpx.Timeout(_ANSWER_S, connect=_CONNECT_S), limits=limits
        )
        self._away_until = 0.0
        self._why = ""

    async def ask(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> httpx.Response:
        """The whole answer to a short question.

        Args:
            method, path: what is asked.
            headers: who asks.
            more: see `httpx.AsyncClient.build_request`.

        Raises:
            CellAwayError: there is none in time.
        """
        answer = await self.open(method, path, headers, **more)
        try:
            await answer.aread()
        except _AWAY as error:
            raise self._away(error) from error
        finally:
            await answer.aclose()
        return answer

    async def open(self, method: str, path: str, headers: Mapping[str, str], **more: Any) -> httpx.Response:
        """The same, its body still to be read, and to be closed.

        Raises:
            CellAwayError: there is none in time.
        """
        if time.monotonic() < self._away_until:
            raise CellAwayError(self.name, self._why)
        request = self._http.build_request(method, path, headers=headers, **more)
        try:
            answer = await self._http.send(request, stream=True)
        except _AWAY as error:
            raise self._away(error) from error
        return answer

    async def close(self) -> None:
        """Lets go of its connections."""
        await self._http.aclose()

    def _away(self, error: Exception) -> CellAwayError:
        self._why = redact(str(error)) or type(error).__name__
        self._away_until = time.monotonic() + _REST_S
        return CellAwayError(self.name, self._why)
