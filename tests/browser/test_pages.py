"""The page goes through many streams a page at a time, and hears of changes in the others."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Route, expect

from tests.browser.conftest import Screen
from tests.workers.gateway.serving import Api


def test_a_wall_of_several_pages_shows_all_streams_and_hears_of_changes_in_any(
    url: str, api: Api, open_page: Callable[..., Screen]
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        api.add(name=name, paused=True)
    screen = open_page("about:blank")
    page = screen.page

    def two_at_a_time(route: Route) -> None:
        route.continue_(url=route.request.url.replace("limit=500", "limit=2"))

    page.route("**/v1/streams?*", two_at_a_time)
    page.goto(url)
    tiles = page.locator(".tile")
    expect(tiles).to_have_count(5)
    api.http.delete("/v1/streams/b")
    api.add(name="f")
    expect(page.locator('.tile[data-stream="b"]')).to_have_count(0)
    expect(page.locator('.tile[data-stream="f"]')).to_be_visible()
    expect(tiles).to_have_count(5)
    # One that is looked at is asked for every time, whichever page is due.
    with page.expect_response("**/v1/streams/e"):
        page.goto(f"{url}#/streams/e")
    expect(page).to_have_title("e · vwt-stream")
