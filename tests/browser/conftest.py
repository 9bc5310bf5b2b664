"""A real browser that looks at the page of a real API."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.browser.actor import Actor
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from workers.settings.schema import AccessSettings, InferenceSettings, ServiceSettings

# Far beyond what anything takes; only a fault comes this far.
_PATIENCE_MS = 30_000
# The model of the service that histories are searched by text with.
BESIDE_TEXT = "vit_base_patch16_clip_224.openai"
OUT = Path(__file__).parents[2] / "out" / "page"


class Screen:
    """A tab, and what its console complained of.

    Attributes:
        page: the tab.
        refusals: statuses that the test expects the API to answer; the browser logs them as errors.
        offline: whether the test takes the network away, which the browser logs too.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.refusals: set[int] = set()
        self.offline = False
        self._errors: list[str] = []
        page.set_default_timeout(_PATIENCE_MS)
        page.on("console", self._console)
        page.on("pageerror", lambda error: self._errors.append(str(error)))

    def errors(self) -> list[str]:
        """What went wrong beside what was expected."""
        return self._errors

    def _console(self, message: ConsoleMessage) -> None:
        if message.type != "error" or (self.offline and "net::ERR_" in message.text):
            return
        status = re.search(r"responded with a status of (\d+)", message.text)
        if status is None or int(status[1]) not in self.refusals:
            self._errors.append(message.text)


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or pytest.skip("no browser: apt-get install chromium")
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Screen]]:
    """Opens addresses in tabs of their own; fails the test when a console complained."""
    screens: list[Screen] = []

    def begin(url: str, width: int = 1280, height: int = 900, **context: Any) -> Screen:
        tab = browser.new_context(viewport={"width": width, "height": height}, **context).new_page()
        screens.append(Screen(tab))
        tab.goto(url)
        return screens[-1]

    yield begin
    for screen in screens:
        screen.page.context.close()
    assert [error for screen in screens for error in screen.errors()] == []


@pytest.fixture(scope="package")
def redis() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture(scope="package")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the clips of events."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="package")
def shared_api(redis: Server, clips: Path) -> Iterator[Api]:
    access = AccessSettings(allow_hosts=["127.0.0.1"])
    inference = InferenceSettings(text_towers={BESIDE_TEXT: "published"})
    api = Api(ServiceSettings(redis=redis.url, access=access, clip_folder=clips, inference=inference))
    yield api
    api.close()


@pytest.fixture
def api(shared_api: Api) -> Iterator[Api]:
    """The API without streams."""
    yield shared_api
    for stream in shared_api.http.get("/v1/streams").json()["streams"]:
        shared_api.http.delete(f"/v1/streams/{stream['id']}")


@pytest.fixture
def url(api: Api) -> str:
    return f"http://127.0.0.1:{api.port}/"


@pytest.fixture
def act(api: Api, redis: Server) -> Iterator[Callable[..., Actor]]:
    """Adds a stream and plays its workers."""
    actors: list[Actor] = []

    def begin(name: str, settings: dict[str, Any] | None = None, **how: Any) -> Actor:
        api.add(name=name, **(settings or {}))
        actors.append(Actor(redis.url, name, **how))
        return actors[-1]

    yield begin
    for actor in actors:
        actor.rest()
