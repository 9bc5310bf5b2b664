"""The page for operators: plain files that talk to the API, and to nothing else."""

from __future__ import annotations

import functools
import gzip
from importlib.metadata import distribution
from pathlib import Path

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.responses import FileResponse, RedirectResponse, Response

from workers.gateway.problems import Problem

_FOLDER = Path(__file__).with_name("page")
# What a system says of these endings differs, and a browser runs no module of another type.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # A new version of the service brings its own files.
    "Cache-Control": "no-cache",
    # Plotly writes styles into the page, and only styles: lines in SVG need no code made of text, so scripts
    # stay those of our own files.
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; object-src 'none'",
    # A token may be in the address of a picture.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# Of a file whose address changes with its content.
_KEPT = _HEADERS | {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


def page_routes() -> APIRouter:
    """`/` and the files it loads."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}
    plotly = distribution("plotly")
    library = Path(str(plotly.locate_file("plotly/package_data/plotly.min.js")))
    library_name = f"plotly-{plotly.version}.min.js"

    @router.get("/")
    async def page() -> FileResponse:
        return _answer(files["index.html"])

    @router.get("/page/plotly.min.js")
    async def charts() -> RedirectResponse:
        return RedirectResponse(library_name, headers=_HEADERS)

    @router.get(f"/page/{library_name}")
    async def charts_of_version(request: Request) -> Response:
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return FileResponse(library, media_type=_TYPES[".js"], headers=_KEPT)
        packed = await to_thread.run_sync(_packed, library)
        return Response(packed, headers=_KEPT | {"Content-Encoding": "gzip"}, media_type=_TYPES[".js"])

    @router.get("/page/{name}")
    async def asset(name: str) -> FileResponse:
        if name not in files:
            raise Problem(404, f"the page has no file {name!r}")
        return _answer(files[name])

    return router


def _answer(path: Path) -> FileResponse:
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)


@functools.cache
def _packed(path: Path) -> bytes:
    """Five megabytes as one and a half; packed when first asked for, which takes a fifth of a second."""
    return gzip.compress(path.read_bytes(), 6, mtime=0)
