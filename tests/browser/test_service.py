"""The page of a service as a user has it: `vwt serve`, its workers, a camera, a browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen
from tests.browser.test_wall import tile
from tests.conftest import RtspServer
from tests.e2e.test_serve import Service

# A machine that is busy with other tests may lose frames, and the page says so.
_RUNS = re.compile("running|degraded")


@pytest.mark.timeout(600)
def test_an_operator_adds_watches_breaks_pauses_and_removes(
    rtsp_server: RtspServer, open_page: Callable[..., Screen], tmp_path: Path
) -> None:
    arguments = ("--model", "null", "--allow-host", "127.0.0.1", "--data-folder", tmp_path / "data")
    service = Service(*arguments)
    screen = open_page(f"{service.url}/")
    try:
        # What there is to know of a stream may be asked for just after it is gone.
        page, screen.refusals = screen.page, {404}
        page.get_by_role("button", name="Add a stream").click()
        page.get_by_label("Source").fill(rtsp_server.url)
        page.get_by_label("Name").fill("gate")
        page.get_by_label("Frames per second").fill("5")
        page.get_by_label("Tokenizer").select_option("full")
        page.keyboard.press("Enter")
        gate = tile(page, "gate")
        expect(gate.locator(".badge")).to_contain_text(_RUNS)
        picture = gate.locator("canvas")
        expect(picture).not_to_have_attribute("data-frame", picture.get_attribute("data-frame") or "")

        page.get_by_role("link", name="gate").click()
        newest = page.locator("tbody th").first
        expect(newest).not_to_have_text(newest.text_content() or "")

        rtsp_server.kill()
        expect(page.locator(".badge")).to_contain_text("reconnecting")
        before = newest.text_content() or ""
        rtsp_server.start()
        expect(page.locator(".badge")).to_contain_text(_RUNS)
        expect(newest).not_to_have_text(before)

        page.get_by_role("button", name="Pause gate").click()
        expect(page.locator(".badge")).to_contain_text("paused")
        page.get_by_role("button", name="Remove gate").click()
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
        expect(page.locator(".badge")).to_contain_text("gone")
    finally:
        # While the service ends it refuses what the page goes on asking for.
        screen.page.close()
        service.close()
