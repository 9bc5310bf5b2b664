"""One image in, one result out."""

from __future__ import annotations

import io
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from PIL import Image, UnidentifiedImageError
from pydantic import ConfigDict, Field, StringConstraints
from starlette.datastructures import UploadFile

from pipeline.tokenizers.registry import kind_of
from workers.contract.messages import TokenSettings
from workers.contract.tokenizer_fields import (
    TokenizerFields,
    TokenizerName,
    check_given,
    options_of,
    tokenizer_choice,
)
from workers.gateway.backend import Backend
from workers.gateway.problems import Problem, responses
from workers.settings.input_fields import InputFields
from workers.settings.schema import ServiceSettings

_FORMATS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "BMP": "image/bmp"}
# A single image has nothing in common with another: what runs where no tokenizer was asked for.
_PLAIN = "full"
_BINARY = {"schema": {"type": "string", "format": "binary"}}
IMAGE_BODY = {
    "required": True,
    "content": {
        **dict.fromkeys(_FORMATS.values(), _BINARY),
        "multipart/form-data": {
            "schema": {"type": "object", "required": ["image"], "properties": {"image": _BINARY["schema"]}}
        },
    },
}


class FrameQuery(TokenizerFields, InputFields):
    """How to run an image."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(default=None, description="As `vwt models` lists it.")
    tokenizer: TokenizerName | None = tokenizer_choice(_PLAIN)
    scope: Annotated[str, StringConstraints(pattern=r"^[^{}\s]{1,150}$")] | None = Field(
        default=None, description="Of tokenizers that want words: whose visual words to use."
    )


def frame_routes(settings: ServiceSettings, backend: Backend) -> APIRouter:
    """The route for single images."""
    router = APIRouter(prefix="/v1", tags=["frames"])

    @router.post(
        "/frames",
        responses=responses(401, 403, 413, 415, 503),
        openapi_extra={"requestBody": IMAGE_BODY},
    )
    async def frame(request: Request, query: Annotated[FrameQuery, Query()]) -> dict[str, Any]:
        """Runs one image: the body, or the file `image` of a form."""
        kind = kind_of(query.tokenizer or _PLAIN)
        check_given(kind, query, query.model_fields_set)
        if kind.wants_words(options_of(query)) and query.scope is None:
            raise Problem(422, f"the tokenizer {kind.name} needs words: name whose with ?scope=", "no-scope")
        data = await image_of(request)
        check_image(data, settings.gateway.max_image_pixels)
        own = settings.model_settings if query.model is None else {}
        model = query.model or settings.model
        tokens = TokenSettings(
            model,
            kind.name,
            kind.check(options_of(query)),
            query.scope or f"frames/{model}",
            query.fit or own.get("fit"),
            query.size or own.get("size"),
        )
        return await backend.image(data, tokens)

    return router


async def image_of(request: Request) -> bytes:
    """The image of a request: its body, or the file `image` of a form.

    Raises:
        Problem: there is none, or the body is of another kind.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8) as form:
            file = form.get("image")
            if not isinstance(file, UploadFile):
                raise Problem(422, "the form has no file called image", "invalid")
            return await file.read()
    if kind not in ("", "application/octet-stream", *_FORMATS.values()):
        raise _unsupported(f"a body of type {kind} cannot be read")
    return await request.body()


def check_image(data: bytes, max_pixels: int) -> None:
    """Looks at the head of an image.

    Raises:
        Problem: it is of no format that is taken, or has more pixels than are.
    """
    try:
        # Only its head is read here.
        with Image.open(io.BytesIO(data), formats=list(_FORMATS)) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width, height = max_pixels, 2
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise _unsupported("the body is no image that can be read") from None
    if width * height > max_pixels:
        raise Problem(
            413,
            f"the image has more than {max_pixels} pixels; send a smaller one, "
            "or raise gateway.max_image_pixels",
            "too-long",
        )


def _unsupported(what: str) -> Problem:
    return Problem(415, f"{what}; send JPEG, PNG, WebP or BMP, as the body or as file `image` of a form")
