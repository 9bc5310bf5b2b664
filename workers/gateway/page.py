"""The page for operators: plain files that talk to the API, and to nothing else."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse

from workers.gateway.problems import Problem

_FOLDER = Path(__file__).with_name("page")
# What a system says of these endings differs, and a browser runs no module of another type.
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_HEADERS = {
    # A new version of the service brings its own files.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; object-src 'none'",
    # A token may be in the address of a picture.
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page_routes() -> APIRouter:
    """`/` and the files it loads."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _TYPES}

    @router.get("/")
    async def page() -> FileResponse:
        return _answer(files["index.html"])

    @router.get("/page/{name}")
    async def asset(name: str) -> FileResponse:
        if name not in files:
            raise Problem(404, f"the page has no file {name!r}")
        return _answer(files[name])

    return router


def _answer(path: Path) -> FileResponse:
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)
