"""Errors as RFC 9457 says: application/problem+json with what failed, why, and what to do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from pipeline.errors import ServiceError, VwtError
from pipeline.redact import redact
from vocab.errors import StoreUnavailable, VocabularyError
from workers.contract.stream_store import NoStreamError, StreamExistsError

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = "1"
# What FastAPI says of a body that is no text.
_UNREADABLE = "There was an error parsing the body"


class ProblemBody(BaseModel):
    """The body of every error."""

    type: str = Field(description="Names the kind of problem; about:blank when the status says it all.")
    title: str
    status: int
    detail: str = Field(description="What failed, why, and what to do.")
    instance: str = Field(description="The path that was asked for.")
    errors: list[dict[str, str]] | None = Field(
        default=None, description="Only for fields that cannot be right."
    )


class Problem(HTTPException):
    """An error of a known kind.

    Args:
        status: HTTP status.
        detail: what failed, why, what to do.
        kind: last part of the type; None when the status says it all.
        headers: of the response.
        errors: `field` and `reason` of each that cannot be right.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: list[dict[str, str]] | None = None,
    ) -> None:
        super().__init__(status, detail, headers)
        self.kind = kind
        self.errors = errors

    def response(self, path: str, **more: Any) -> Response:
        """The response to a request for that path, with more members where a problem has them."""
        body: dict[str, Any] = {
            "type": "about:blank" if self.kind is None else f"urn:vwt:problem:{self.kind}",
            "title": HTTPStatus(self.status_code).phrase,
            "status": self.status_code,
            "detail": redact(self.detail),
            "instance": path,
            **more,
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return Response(json.dumps(body), self.status_code, self.headers, MEDIA_TYPE)


def unavailable(detail: str) -> Problem:
    """Something that the service needs is away; worth asking again."""
    return Problem(503, detail, "unavailable", {"Retry-After": _RETRY_AFTER_S})


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems of a route, for OpenAPI."""
    content = {MEDIA_TYPE: {"schema": ProblemBody.model_json_schema()}}
    # FastAPI lists a 422 of its own kind where we list none.
    return {
        status: {"description": HTTPStatus(status).phrase, "content": content} for status in (422, *statuses)
    }


def answer_with_problems(app: FastAPI) -> None:
    """Makes every error of the app a problem."""

    async def answer(request: Request, error: Exception) -> Response:
        return _as_problem(error).response(request.scope["path"])

    for kind in (HTTPException, RequestValidationError, VwtError, StoreUnavailable, Exception):
        app.add_exception_handler(kind, answer)


def _as_problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case HTTPException() if error.detail == _UNREADABLE:
            return Problem(422, "the body is no JSON in UTF-8; see the API's documentation", "invalid")
        case HTTPException():
            return Problem(error.status_code, error.detail, headers=error.headers)
        case RequestValidationError():
            found = [_field(item) for item in error.errors()]
            return Problem(422, "some fields cannot be right; see errors", "invalid", errors=found)
        case NoStreamError():
            return Problem(404, str(error), "no-stream")
        case StreamExistsError():
            return Problem(409, str(error), "stream-exists")
        # Words are the service's own: whoever asks did nothing wrong.
        case StoreUnavailable() | ServiceError() | VocabularyError():
            return unavailable(str(error))
        case VwtError():
            return Problem(422, str(error), "refused")
    return Problem(500, "this should not have happened; the log of the gateway says more")


def _field(item: Any) -> dict[str, str]:
    # Without the value: it may hold credentials.
    return {"field": ".".join(map(str, item["loc"])), "reason": redact(item["msg"])}
