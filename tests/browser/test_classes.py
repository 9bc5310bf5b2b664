"""Names on a stream's page: boxes drawn on the live picture, what the others say of each, and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import Actor
from tests.browser.conftest import OUT, Screen
from tests.browser.test_looks import faint, fits
from tests.browser.test_zones import Open, at, click, screen, yard
from tests.workers.gateway.serving import Api

__all__ = ["screen", "yard"]  # fixtures

CLASSES = "/v1/streams/yard/classes"
PLACES = [(0.2, 0.3), (0.4, 0.7)]
LOOKS = {"person": [1.0, 0, 0, 0], "van": [0, 1.0, 0, 0], "not this": [0, 0, 1.0, 0]}
EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def page(screen: Screen) -> Page:
    return screen.page


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Names")


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *start))
    page.mouse.down()
    page.mouse.move(*at(page, *end), steps=4)
    page.mouse.up()


def saved(api: Api) -> dict[str, Any]:
    return {one["name"]: one for one in api.http.get(CLASSES).json()["classes"]}


def teach(api: Api, name: str, times: int = 1, looks: str | None = None) -> None:
    api.edge.vector = np.array(LOOKS[looks or name], np.float32)
    for _ in range(times):
        body = {"name": name, "box": [0.1, 0.2, 0.3, 0.4]}
        api.http.post(f"{CLASSES}/examples", json=body).raise_for_status()


def test_boxes_are_drawn_on_a_picture_that_stands_still_and_say_what_is_missing(
    api: Api, yard: Actor, page: Page
) -> None:
    api.edge.vector = np.array(LOOKS["person"], np.float32)
    with page.expect_response("**/classes/frames/*"):
        page.get_by_role("button", name="Draw a box").click()
    canvas = page.locator(".stage canvas")
    number = canvas.get_attribute("data-frame")
    expect(page.locator(".zone-form")).to_contain_text("The picture stands still")
    assert api.edge.held == int(number or -1)
    drag(page, *PLACES)
    # However many come meanwhile.
    yard.give(3)
    form = page.get_by_role("form", name="Draw boxes")
    form.get_by_label("Name", exact=True).fill("person")
    form.get_by_role("button", name="Save box").click()
    card = page.locator('[data-class="person"]')
    expect(card).to_contain_text("Still wanted: 1 more until it is said, 4 until it is told well.")
    (box,) = saved(api)["person"]["boxes"]
    assert np.allclose(box["box"], [0.2, 0.3, 0.2, 0.4], atol=0.01)
    assert canvas.get_attribute("data-frame") == number
    assert api.edge.shown == box["frame"] == int(number or -1)
    # Another thing in the same picture, by its two corners.
    click(page, (0.6, 0.2), (0.8, 0.6))
    form.get_by_role("button", name="Save box").click()
    expect(card).to_contain_text("2 of 2 told right by the others")
    expect(card).to_contain_text("Of so few that says little.")
    # Then the stream goes on, and stands still once more.
    form.get_by_role("button", name="Another picture").click()
    yard.give(1)
    expect(canvas).not_to_have_attribute("data-frame", number or "")
    expect(page.locator(".zone-form")).to_contain_text("The picture stands still")
    drag(page, *reversed(PLACES))
    form.get_by_label("It has none of the names").check()
    form.get_by_role("button", name="Save box").click()
    none = page.locator('[data-class="not this"]')
    expect(none).to_contain_text("What is more like one of these has no name.")
    assert np.allclose(saved(api)["not this"]["boxes"][0]["box"], [0.2, 0.3, 0.2, 0.4], atol=0.01)
    form.get_by_role("button", name="Done").click()
    expect(form).to_have_count(0)
    expect(page.get_by_role("button", name="Draw a box")).to_be_focused()
    yard.give(1)
    expect(canvas).to_have_attribute("data-frame", str(yard._next))


def test_a_box_that_the_others_call_something_else_shows_and_is_removed(api: Api, page: Page) -> None:
    teach(api, "person", 3)
    teach(api, "van", 3)
    teach(api, "van", looks="person")
    page.reload()
    card = page.locator('[data-class="van"]')
    expect(card).to_contain_text("3 of 4 told right by the others")
    wrong = card.locator('[data-wrong="true"]')
    expect(wrong).to_contain_text("told: person")
    wrong.get_by_role("button", name="Remove box 4 of van").click()
    expect(card).to_contain_text("3 of 3 told right by the others")
    expect(card.get_by_role("button", name="Draw another box of van")).to_be_focused()
    card.get_by_role("button", name="Remove van with all boxes").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    assert set(saved(api)) == {"person"}


def test_it_can_be_drawn_with_keys_alone(api: Api, page: Page) -> None:
    page.get_by_role("button", name="Draw a box").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".layer.active")).to_be_focused()
    for keys in (["Space"], ["ArrowRight"] * 5 + ["ArrowDown"] * 10 + ["Space"]):
        for key in keys:
            page.keyboard.press(key)
    expect(page.locator(".zone-form")).to_contain_text("Drag corners")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("person")
    page.keyboard.press("Enter")
    expect(page.locator('[data-class="person"]')).to_be_visible()
    assert np.allclose(saved(api)["person"]["boxes"][0]["box"], [0.5, 0.5, 0.1, 0.2], atol=0.01)
    page.keyboard.press("Escape")
    expect(page.locator(".zone-form")).to_have_count(0)


def test_of_a_zone_and_a_box_one_is_drawn_at_a_time(page: Page) -> None:
    page.get_by_role("button", name="Draw a zone").click()
    page.get_by_role("button", name="Draw a box").click()
    expect(page.get_by_role("form", name="New zone")).to_have_count(0)
    page.get_by_role("button", name="Draw a zone").click()
    expect(page.get_by_role("form", name="Draw boxes")).to_have_count(0)
    expect(page.get_by_role("form", name="New zone")).to_be_visible()


def test_what_cannot_be_right_is_said_at_its_field(screen: Screen) -> None:
    screen.refusals = {422}
    page = screen.page
    page.get_by_role("button", name="Draw a box").click()
    save = page.get_by_role("button", name="Save box")
    save.click()
    expect(page.locator(".zone-form [name=name]")).to_have_attribute("aria-invalid", "true")
    page.locator(".zone-form [name=name]").fill("unknown")
    save.click()
    expect(page.locator(".zone-form")).to_contain_text("draw a box around one thing")
    drag(page, *PLACES)
    save.click()
    expect(page.locator(".zone-form")).to_contain_text("call it something else")


def test_a_file_is_used_and_downloaded_and_names_are_text_and_never_markup(
    api: Api, screen: Screen, tmp_path: Path
) -> None:
    page = screen.page
    teach(api, "person", 2)
    page.get_by_role("link", name="Download the names").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the names").click()
    given = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename == "yard-classes.json"
    given["names"] = {EVIL: given["names"]["person"]}
    file = tmp_path / "names.json"
    file.write_text(json.dumps(given))
    page.get_by_label("Use a file of names").set_input_files(file)
    card = page.locator("[data-class]").filter(has_text="Learned from a file.")
    expect(card).to_contain_text(EVIL)
    expect(page.locator('[data-class="person"]')).to_contain_text("remove those first")
    assert page.locator("img[src=x]").count() == 0
    # What is no such file is refused in words.
    screen.refusals = {422}
    file.write_text("[]")
    page.get_by_label("Use a file of names").set_input_files(file)
    expect(panel(page).locator(".problem").first).to_contain_text("dictionary")
    file.write_text("<svg>")
    page.get_by_label("Use a file of names").set_input_files(file)
    expect(panel(page).locator(".problem").first).to_contain_text("is no JSON")


def test_a_name_that_looks_like_markup_is_text_where_it_was_drawn(api: Api, page: Page) -> None:
    api.edge.vector = np.array(LOOKS["person"], np.float32)
    page.get_by_role("button", name="Draw a box").click()
    drag(page, *PLACES)
    page.get_by_label("Name", exact=True).fill(EVIL)
    page.get_by_role("button", name="Save box").click()
    expect(page.locator("[data-class] strong")).to_have_text(EVIL)
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Draw another box").click()
    expect(page.get_by_label("Name", exact=True)).to_have_value(EVIL)
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_names_fit_from_phone_to_wall(
    url: str, api: Api, yard: Actor, open_page: Open, width: int, scheme: str  # noqa: ARG001
) -> None:  # fmt: skip
    teach(api, "person", 6)
    teach(api, "van", 3)
    teach(api, "van", looks="person")
    teach(api, "not this", 2)
    page = open_page(f"{url}#/streams/yard", width, 900, color_scheme=scheme).page
    expect(page.locator('[data-class="not this"]')).to_be_visible()
    expect(page.locator(".stage canvas")).to_be_visible()
    page.get_by_role("button", name="Draw a box").click()
    drag(page, *PLACES)
    assert fits(page)
    assert faint(page) == []
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / f"names-{width}-{scheme}.png", full_page=True)


def test_a_box_that_is_dragged_beyond_the_picture_ends_at_its_edge(api: Api, page: Page) -> None:
    api.edge.vector = np.array(LOOKS["person"], np.float32)
    page.get_by_role("button", name="Draw a box").click()
    form = page.get_by_role("form", name="Draw boxes")
    form.get_by_label("Name", exact=True).fill("person")
    drag(page, (0.31, 0.47), (1.02, 1.03))
    form.get_by_role("button", name="Save box").click()
    expect(page.locator('[data-class="person"] [data-box]')).to_have_count(1)
    ((x, y, w, h),) = [one["box"] for one in saved(api)["person"]["boxes"]]
    assert (x + w, y + h) == pytest.approx((1, 1), abs=1e-6)
