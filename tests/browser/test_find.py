from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from pipeline.history import Moment
from pipeline.results import Prediction
from tests.browser.actor import Actor
from tests.browser.conftest import BESIDE_TEXT, OUT, Screen
from tests.workers.gateway.serving import Api
from workers.contract.history_log import HistoryLog

Act = Callable[..., Actor]
Open = Callable[..., Screen]
MODEL = "dinov2_vits14_saliency"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    cv2.imwrite(str(path), np.zeros((8, 8, 3), np.uint8))
    return path


def remember(actor: Actor, count: int, model: str = MODEL) -> None:
    """Moments that are less and less like what the page asks for."""
    log = HistoryLog(actor.client, actor.stream)
    for frame in range(count):
        shade = np.full((90, 160, 3), 20 * frame, np.uint8)
        jpeg = cv2.imencode(".jpg", shade)[1].tobytes()
        seen = Prediction("regions", embedding=[1.0, frame / 4, 0, 0])
        log.append(actor.fence, model, Moment(frame, frame * 5.0, None), seen, jpeg, 2**20)


def find(page: Page, picture: Path) -> None:
    page.get_by_label("Like this picture").set_input_files(picture)


def test_a_picture_finds_moments_as_a_grid(url: str, act: Act, open_page: Open, picture: Path) -> None:
    actor = act("yard", {"history": 2**20})
    actor.give(5)
    remember(actor, 9)
    page = open_page(f"{url}#/streams/yard").page
    find(page, picture)
    expect(page.get_by_text("The 9 most alike of 9 moments kept.")).to_be_visible()
    found = page.get_by_role("region", name="Find").locator("li")
    assert [one.get_attribute("data-frame") for one in found.all()] == [str(frame) for frame in range(9)]
    expect(found.nth(2)).to_contain_text("10.00 s")
    expect(found.nth(0)).to_contain_text("alike 1.00")
    assert found.nth(0).locator("canvas").evaluate("one => [one.width, one.height]") == [160, 90]


def test_what_the_stream_shows_now_is_looked_for(url: str, act: Act, open_page: Open, api: Api) -> None:
    actor = act("yard", {"history": 2**20})
    actor.give(5)
    remember(actor, 3)
    page = open_page(f"{url}#/streams/yard").page
    page.get_by_role("button", name="Like what is shown now").click()
    expect(page.get_by_text("The 3 most alike of 3 moments kept.")).to_be_visible()
    assert api.edge.asked[-1][0] > 100


def test_a_text_is_looked_for_where_the_model_was_trained_beside_text(
    url: str, act: Act, open_page: Open
) -> None:
    for name, model in (("beside", BESIDE_TEXT), ("plain", MODEL)):
        actor = act(name, {"history": 2**20, "model": model})
        actor.give(5)
        remember(actor, 3, model)
    page = open_page(f"{url}#/streams/beside").page
    page.get_by_label("Showing").fill("a red van")
    page.get_by_role("button", name="Find", exact=True).click()
    expect(page.get_by_text("The 3 most alike of 3 moments kept.")).to_be_visible()
    found = page.get_by_role("region", name="Find").locator("li")
    assert [one.get_attribute("data-frame") for one in found.all()] == ["2", "1", "0"]
    page.goto(f"{url}#/streams/plain")
    expect(page.get_by_label("Like this picture")).to_be_visible()
    expect(page.get_by_label("Showing")).to_be_hidden()


def test_there_is_nothing_to_search_without_a_history(url: str, act: Act, open_page: Open, api: Api) -> None:
    actor = act("yard")
    actor.give(5)
    page = open_page(f"{url}#/streams/yard").page
    expect(page.locator("tbody th").first).to_have_text("4")
    expect(page.get_by_role("region", name="Find")).to_be_hidden()
    api.http.patch("/v1/streams/yard", json={"history": 2**20})
    expect(page.get_by_role("region", name="Find")).to_be_visible()


def test_what_is_refused_is_said(url: str, act: Act, open_page: Open, tmp_path: Path) -> None:
    actor = act("yard", {"history": 2**20})
    actor.give(5)
    screen = open_page(f"{url}#/streams/yard")
    screen.refusals.add(415)
    wrong = tmp_path / "wrong.png"
    wrong.write_text("no picture")
    find(screen.page, wrong)
    expect(screen.page.get_by_text("no image that can be read")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1440])
def test_what_was_found_fits_every_screen(
    url: str, act: Act, open_page: Open, picture: Path, width: int, scheme: str
) -> None:
    actor = act("yard", {"history": 2**20, "model": BESIDE_TEXT})
    actor.give(5)
    remember(actor, 9, BESIDE_TEXT)
    page = open_page(f"{url}#/streams/yard", width=width, color_scheme=scheme).page
    find(page, picture)
    expect(page.get_by_text("The 9 most alike")).to_be_visible()
    expect(page.get_by_label("Showing")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    OUT.mkdir(parents=True, exist_ok=True)
    page.get_by_role("region", name="Find").screenshot(path=OUT / f"find-{scheme}-{width}.png")
