"""The page over several services: one wall, and a failure that stays where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.browser.test_wall import figure, tile
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from workers.cells.api import build_directory
from workers.cells.cell import Cell
from workers.gateway.listener import Listener
from workers.settings.schema import GatewaySettings, ServiceSettings


@pytest.fixture
def south_redis() -> Iterator[Server]:
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def south(south_redis: Server) -> Iterator[Api]:
    """A service beside the one of all tests, which is the north."""
    api = Api(ServiceSettings(redis=south_redis.url))
    yield api
    api.close()


@pytest.fixture
def cells_url(api: Api, south: Api) -> Iterator[str]:
    cells = [Cell(name, f"http://127.0.0.1:{one.port}") for name, one in (("north", api), ("south", south))]
    listener = Listener(build_directory(cells, None, GatewaySettings()), "127.0.0.1", 0, 100, 1)
    yield f"http://127.0.0.1:{listener.port}/"
    listener.close()


def test_one_wall_shows_all_cells_and_goes_on_without_one_that_fails(
    cells_url: str,
    south: Api,
    south_redis: Server,
    act: Callable[..., Actor],
    open_page: Callable[..., Screen],
) -> None:
    act("gate").play()
    south.add(name="yard")
    yard = Actor(south_redis.url, "yard")
    yard.play()
    screen = open_page(cells_url)
    page = screen.page
    for name in ("gate", "yard"):
        expect(tile(page, name).locator(".badge")).to_contain_text("running")
        expect(figure(tile(page, name), "Frames/s")).to_have_text("10")
    # Its results come through as they are made.
    tile(page, "yard").get_by_role("link", name="yard").click()
    expect(page.get_by_role("heading", name="yard")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text("1 region, best")
    page.goto(cells_url)
    # Streams that are added go to the cell with the fewest; whoever looks need not know which.
    page.get_by_role("button", name="Add a stream").click()
    page.get_by_label("Source").fill("sample:bikes")
    page.get_by_label("Name").fill("attic")
    page.keyboard.press("Enter")
    expect(tile(page, "attic").locator(".badge")).to_contain_text("starting")
    screen.refusals = {503}
    yard.rest()
    south_redis.kill()
    expect(tile(page, "yard").locator(".badge")).to_contain_text("failed")
    expect(tile(page, "yard")).to_contain_text("the cell south does not answer")
    expect(tile(page, "gate").locator(".badge")).to_contain_text("running")
    expect(page.locator("#banner")).to_be_hidden()
