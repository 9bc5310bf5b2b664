from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from tests.workers.gateway.serving import Api
from workers.access.bearer_tokens import add_token

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


def test_the_page_and_all_it_loads_come_without_a_token(serve: Callable[..., Api], tmp_path: Path) -> None:
    add_token(tmp_path / "tokens", "operator", "manage")
    http = serve(access={"token_file": tmp_path / "tokens"}).http
    page = http.get("/")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    waiting, seen = set(re.findall(r'(?:href|src)="(page/[^"]+)"', page.text)), set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        answer = http.get(f"/{path}")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].partition(";")[0] == _TYPES[path.rpartition(".")[2]]
        waiting |= {f"page/{name}" for name in re.findall(r'from "\./([^"]+)"', answer.text)} - seen
    assert {"page/app.js", "page/stream.js", "page/icon.svg", "page/theme.css"} <= seen


def test_the_page_may_load_nothing_from_elsewhere_and_be_framed_by_nobody(api: Api) -> None:
    for path in ("/", "/page/app.js"):
        head = api.http.get(path).headers
        policy = dict(part.strip().split(" ", 1) for part in head["content-security-policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert policy["frame-ancestors"] == "'none'"
        assert head["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/page/none.js", "/page/..%2Fapi.py", "/page/"])
def test_nothing_but_the_files_of_the_page_is_served(api: Api, path: str) -> None:
    answer = api.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_page_is_not_given_to_a_name_that_is_rebound_to_this_machine(api: Api) -> None:
    assert api.http.get("/", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_the_library_of_charts_is_kept_by_browsers_under_the_address_of_its_version(
    api: Api, coding: str
) -> None:
    installed = distribution("plotly")
    answer = api.http.get("/page/plotly.min.js", headers={"Accept-Encoding": coding}, follow_redirects=True)
    assert answer.history[0].headers["cache-control"] == "no-cache"
    assert answer.url.path == f"/page/plotly-{installed.version}.min.js"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers.get("content-encoding", "identity") == coding
    path = Path(str(installed.locate_file("plotly/package_data/plotly.min.js")))
    assert answer.content == path.read_bytes()
