"""The streams API, as a client sees it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode

import httpx
from httpx_sse import EventSource, ServerSentEvent, SSEError

from pipeline.errors import ServiceError, UsageError
from pipeline.redact import redact

_TIMEOUT_S = 30.0
# The service says something at least every 15 seconds.
_SILENCE_S = 45.0


class ServiceClient:
    """Asks one service. Every method raises ServiceError when it cannot be reached or cannot do it now, and
    UsageError when it refuses.

    Args:
        url: of the service, such as http://127.0.0.1:8000.
        token: bearer token; None for none.

    Raises:
        UsageError: the URL cannot be one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._shown = redact(url)
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            base = httpx.URL(url)
            self._http = httpx.Client(base_url=base, headers=headers, timeout=_TIMEOUT_S)
        except (httpx.InvalidURL, UnicodeEncodeError):
            base = httpx.URL()
        if base.scheme not in ("http", "https") or not base.host:
            raise UsageError(f"{self._shown} is no URL of a service: give --url as http://host:8000")

    def add(self, stream: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a stream and returns it."""
        return self._ask("POST", "", stream)

    def all(self) -> list[dict[str, Any]]:
        """All streams, oldest first."""
        found: list[dict[str, Any]] = []
        query = ""
        while True:
            page = self._ask("GET", query)
            found += page["streams"]
            if page.get("next") is None:
                return sorted(found, key=lambda stream: stream["created_at"])
            query = f"?{urlencode({'after': page['next']})}"

    def show(self, stream: str) -> dict[str, Any]:
        """One stream."""
        return self._ask("GET", _path(stream))

    def change(self, stream: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a stream and returns it."""
        return self._ask("PATCH", _path(stream), changes)

    def remove(self, stream: str) -> None:
        """Removes a stream with its results."""
        self._ask("DELETE", _path(stream))

    @contextmanager
    def events(self, stream: str, after: str | None) -> Iterator[Iterator[ServerSentEvent]]:
        """Opens the events of a stream; leaving the block closes them.

        Args:
            stream: its id.
            after: id of the event to resume after; None for what comes from now on.
        """
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if after is not None:
            headers["Last-Event-ID"] = after
        timeout = httpx.Timeout(_TIMEOUT_S, read=_SILENCE_S)
        with (
            self._failures(),
            self._http.stream(
                "GET", f"/v1/streams{_path(stream)}/results", headers=headers, timeout=timeout
            ) as response,
        ):
            if not response.is_success:
                response.read()
                raise _refusal(response)
            yield (event for event in EventSource(response).iter_sse() if event.data)

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        with self._failures():
            response = self._http.request(method, f"/v1/streams{path}", json=body)
        if not response.is_success:
            raise _refusal(response)
        if response.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ServiceError(f"what answers at {self._shown} is not vwt: check --url")
        return answer

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ServiceError(
                f"the service at {self._shown} did not answer in time: look at its load and the network"
            ) from error
        except httpx.TransportError as error:
            why = redact(str(error)) or type(error).__name__
            raise ServiceError(
                f"cannot reach the service at {self._shown}: {why}; start it (vwt serve) or check --url"
            ) from error
        except SSEError as error:
            raise ServiceError(f"what answers at {self._shown} is not vwt: check --url") from error


def _path(stream: str) -> str:
    return "/" + quote(stream, safe="")


def _refusal(response: httpx.Response) -> UsageError | ServiceError:
    """What a response other than 2xx says, in one line."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    text = str(
        problem.get("detail") or f"the service answers {response.status_code} {response.reason_phrase}"
    )
    fields = problem.get("errors") or []
    if fields:
        text = f"the service refuses: {'; '.join(map(_field, fields))}"
    if response.status_code == httpx.codes.UNAUTHORIZED:
        text += " (--token or VWT_TOKEN)"
    return UsageError(text) if 400 <= response.status_code < 500 else ServiceError(text)


def _field(error: Mapping[str, str]) -> str:
    return f"{error['field'].removeprefix('body.')}: {error['reason']}"
