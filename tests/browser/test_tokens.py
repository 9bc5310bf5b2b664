from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.browser.test_wall import tile
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from vocab.connection import connect
from workers.access.bearer_tokens import add_token
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.settings.schema import AccessSettings, ServiceSettings


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def locked(redis: Server, tokens: Path) -> Iterator[str]:
    """The address of a page whose API wants tokens, with a stream "yard" that runs."""
    add_token(tokens, "other", "manage")
    api = Api(ServiceSettings(redis=redis.url, access=AccessSettings(token_file=tokens)))
    store = StreamStore(connect(redis.url))
    store.add(StreamSpec(id="yard", source="sample:bikes"))
    actor = Actor(redis.url, "yard")
    actor.play()
    yield f"http://127.0.0.1:{api.port}/"
    actor.rest()
    store.remove("yard")
    api.close()


def test_a_token_is_asked_for_once_and_opens_all_views(
    locked: str, tokens: Path, open_page: Callable[..., Screen]
) -> None:
    screen = open_page(locked)
    page, screen.refusals = screen.page, {401}
    asked = page.get_by_role("dialog")
    expect(asked).to_contain_text("This service wants a token")
    page.locator("#login input").fill("wrong")
    page.keyboard.press("Enter")
    expect(asked.get_by_role("alert")).to_contain_text("wants a bearer token that it knows")
    page.locator("#login input").fill(add_token(tokens, "operator", "manage"))
    page.keyboard.press("Enter")
    expect(tile(page, "yard").locator("canvas")).to_be_visible()
    page.get_by_role("link", name="yard").click()
    expect(page.locator("tbody tr").first).to_be_visible()
    page.reload()
    expect(page.locator("tbody tr").first).to_be_visible()


def test_a_token_that_may_only_read_is_told_so(
    locked: str, tokens: Path, open_page: Callable[..., Screen]
) -> None:
    screen = open_page(locked)
    page, screen.refusals = screen.page, {401, 403}
    page.locator("#login input").fill(add_token(tokens, "guest", "read"))
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Pause yard").click()
    expect(tile(page, "yard").get_by_role("alert")).to_contain_text("this token may only read")
