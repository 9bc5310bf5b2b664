"""Zones on a stream's page: drawn on the live picture, taught by clicks, told over it from then on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import Actor
from tests.browser.conftest import OUT, Screen
from tests.browser.test_looks import faint, fits
from tests.workers.gateway.serving import Api

Act = Callable[..., Actor]
Open = Callable[..., Screen]
GATE = [(0.2, 0.2), (0.6, 0.2), (0.6, 0.7)]
ZONES = "/v1/streams/yard/zones"
LOOKS = {"open": [1.0, 0, 0, 0], "closed": [0, 1.0, 0, 0]}


@pytest.fixture
def yard(act: Act) -> Actor:
    actor = act("yard")
    actor.give(5)
    return actor


@pytest.fixture
def screen(url: str, yard: Actor, open_page: Open) -> Screen:  # noqa: ARG001 - is to be there
    found = open_page(f"{url}#/streams/yard", height=1400)
    expect(found.page.locator(".stage canvas")).to_be_visible()
    return found


@pytest.fixture
def page(screen: Screen) -> Page:
    return screen.page


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Zones")


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where on the screen a place of the picture is; the actor's is as wide as its box."""
    box = page.locator(".stage").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def click(page: Page, *places: tuple[float, float]) -> None:
    for place in places:
        page.mouse.click(*at(page, *place))


def draw(page: Page, name: str = "gate", states: str = "open, closed") -> None:
    page.get_by_role("button", name="Draw a zone").click()
    click(page, *GATE, GATE[0])
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("States").fill(states)
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator(f'[data-zone="{name}"]')).to_be_visible()


def saved(api: Api) -> dict[str, Any]:
    return {zone["name"]: zone for zone in api.http.get(ZONES).json()["zones"]}


def teach(api: Api, times: int = 2) -> None:
    body = {"polygon": GATE, "states": ["open", "closed"]}
    api.http.put(f"{ZONES}/gate", json=body).raise_for_status()
    for state, vector in LOOKS.items():
        api.edge.vector = np.array(vector, np.float32)
        for _ in range(times):
            api.http.post(f"{ZONES}/gate/examples", json={"state": state}).raise_for_status()


def test_a_zone_is_drawn_taught_by_clicks_and_told_over_the_picture(
    api: Api, yard: Actor, page: Page
) -> None:
    draw(page)
    polygon = saved(api)["gate"]["polygon"]
    assert np.allclose(polygon, GATE, atol=0.01)
    card = page.locator('[data-zone="gate"]')
    expect(card).to_contain_text("give 2 more of open, 2 more of closed")
    for state, vector in LOOKS.items():
        api.edge.vector = np.array(vector, np.float32)
        for count in range(1, 3):
            card.get_by_text(f"It is {state}").click()
            expect(card).to_contain_text(f"It is {state} ({count})")
    expect(card).to_contain_text("told by the others: 100 % right")
    # What is said is said of the frame that is shown.
    assert api.edge.shown == int(page.locator(".stage canvas").get_attribute("data-frame") or -1)
    yard.told = {"zones": {"gate": {"state": "open", "distance": 0.031}}}
    yard.give(1)
    mark = page.locator(".labels span")
    expect(mark).to_have_text("gate: open, 0.03 away")
    expect(card).to_contain_text("open, 0.03 away")
    yard.told = {"zones": {"gate": {"state": "unknown", "distance": 0.4}}}
    yard.give(1)
    expect(mark).to_have_text("gate: unknown, 0.40 away")
    expect(page.locator(".zones path")).to_have_attribute("data-known", "false")
    # Of a camera that is lost nothing is known.
    yard.say("reconnecting", "the camera closed the connection")
    expect(mark).to_have_text("gate: not told now")
    # A click that was wrong is taken back.
    card.get_by_role("button", name="Take back").click()
    expect(card).to_contain_text("give 1 more of closed")


def test_a_corner_is_dragged_a_zone_renamed_and_removed(api: Api, page: Page) -> None:
    draw(page)
    card = page.locator('[data-zone="gate"]')
    card.get_by_role("button", name="Draw gate anew").click()
    expect(page.locator(".corner")).to_have_count(3)
    page.mouse.move(*at(page, *GATE[1]))
    page.mouse.down()
    page.mouse.move(*at(page, 0.8, 0.3), steps=4)
    page.mouse.up()
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator(".corner")).to_have_count(0)
    assert np.allclose(saved(api)["gate"]["polygon"][1], (0.8, 0.3), atol=0.01)
    card.get_by_role("button", name="Rename gate").click()
    page.get_by_label("New name of gate").fill("north gate")
    page.get_by_role("button", name="Save", exact=True).click()
    card = page.locator('[data-zone="north gate"]')
    card.get_by_role("button", name="Remove zone north gate").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    assert saved(api) == {}


def test_it_can_be_drawn_with_keys_alone(api: Api, page: Page) -> None:
    page.get_by_role("button", name="Draw a zone").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".layer.active")).to_be_focused()
    for keys in (["Space"], ["ArrowRight"] * 5 + ["Space"], ["ArrowDown"] * 5 + ["Space"]):
        for key in keys:
            page.keyboard.press(key)
    expect(page.locator(".corner")).to_have_count(3)
    assert page.locator(".cross").evaluate("one => getComputedStyle(one).visibility") == "visible"
    page.keyboard.press("Backspace")
    expect(page.locator(".corner")).to_have_count(2)
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator(".zone-form")).to_contain_text("Drag corners")
    # A corner moves by the arrows, too.
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Corner 1")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.get_by_label("Name", exact=True).fill("gate")
    page.get_by_label("States").fill("open, closed")
    page.keyboard.press("Enter")
    expect(page.locator('[data-zone="gate"]')).to_be_visible()
    expected = [(0.48, 0.5), (0.6, 0.5), (0.6, 0.6)]
    assert np.allclose(saved(api)["gate"]["polygon"], expected, atol=0.01)


def test_escape_leaves_nothing_behind(api: Api, page: Page) -> None:
    page.get_by_role("button", name="Draw a zone").click()
    click(page, *GATE)
    page.keyboard.press("Escape")
    expect(page.locator(".zone-form")).to_have_count(0)
    expect(page.locator(".corner")).to_have_count(0)
    expect(page.get_by_role("button", name="Draw a zone")).to_be_focused()
    assert saved(api) == {}


def test_a_finger_draws_as_a_mouse_does(url: str, api: Api, yard: Actor, open_page: Open) -> None:  # noqa: ARG001
    page = open_page(f"{url}#/streams/yard", 390, 844, has_touch=True).page
    expect(page.locator(".stage canvas")).to_be_visible()
    page.get_by_role("button", name="Draw a zone").tap()
    for place in (*GATE, GATE[0]):
        page.touchscreen.tap(*at(page, *place))
    page.get_by_label("Name", exact=True).fill("gate")
    page.get_by_label("States").fill("open, closed")
    page.get_by_role("button", name="Save zone").tap()
    expect(page.locator('[data-zone="gate"]')).to_be_visible()
    assert np.allclose(saved(api)["gate"]["polygon"], GATE, atol=0.02)


def test_what_cannot_be_right_is_said_at_its_field(screen: Screen) -> None:
    screen.refusals = {422}
    page = screen.page
    page.get_by_role("button", name="Draw a zone").click()
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator(".zone-form [name=name]")).to_have_attribute("aria-invalid", "true")
    page.locator(".zone-form [name=name]").fill("gate")
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator(".zone-form")).to_contain_text("click three corners")
    # Lines that cross, which the API refuses.
    click(page, (0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.6))
    page.locator(".zone-form [name=states]").fill("open")
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator(".zone-form [name=states]")).to_have_attribute("aria-invalid", "true")
    expect(page.locator(".zone-form")).to_contain_text("lines of the polygon cross")
    expect(page.locator(".zone-form")).to_contain_text("two states at least")


def test_of_a_cropped_picture_places_are_those_of_the_source(api: Api, yard: Actor, page: Page) -> None:
    yard.client.hset(yard.keys.preview, mapping={"part": "[0.25, 0, 0.75, 1]"})
    yard.give(1)
    expect(page.locator(".stage canvas")).to_have_attribute("data-frame", "6")
    draw(page)
    expected = [(0.25 + x / 2, y) for x, y in GATE]
    assert np.allclose(saved(api)["gate"]["polygon"], expected, atol=0.01)


@pytest.mark.parametrize("size", [(480, 360), (270, 480)], ids=["four to three", "upright"])
def test_a_picture_of_any_shape_is_shown_whole_and_its_places_are_where_they_are_seen(
    api: Api, yard: Actor, page: Page, size: tuple[int, int]
) -> None:
    yard.sizes = (size, size)
    yard.give(1)
    canvas = page.locator(".stage canvas")
    expect(canvas).to_have_attribute("data-frame", "6")
    shown, stage = canvas.bounding_box(), page.locator(".stage").bounding_box()
    assert shown is not None
    assert stage is not None
    assert shown == pytest.approx(stage, abs=1)
    # The canvas keeps the proportions of its picture, in its middle.
    scale = min(shown["width"] / size[0], shown["height"] / size[1])
    left = shown["x"] + (shown["width"] - scale * size[0]) / 2
    top = shown["y"] + (shown["height"] - scale * size[1]) / 2
    page.get_by_role("button", name="Draw a zone").click()
    for x, y in (*GATE, GATE[0]):
        page.mouse.click(left + x * scale * size[0], top + y * scale * size[1])
    page.get_by_label("Name", exact=True).fill("gate")
    page.get_by_label("States").fill("open, closed")
    page.get_by_role("button", name="Save zone").click()
    expect(page.locator('[data-zone="gate"]')).to_be_visible()
    assert np.allclose(saved(api)["gate"]["polygon"], GATE, atol=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_zones_and_rules_fit_from_phone_to_wall(
    url: str, api: Api, yard: Actor, open_page: Open, width: int, scheme: str
) -> None:
    teach(api, 3)
    schedule = {"days": ["mon", "tue"], "start": "22:00", "until": "06:00", "zone": "Europe/Berlin"}
    rules = [
        {"name": "open-long", "what": "zone", "zone": "gate", "state": "open", "for_s": 30, "quiet_s": 60},
        {
            "name": "person-at-gate",
            "what": "box",
            "names": ["person"],
            "severity": "alarm",
            "schedule": schedule,
        },
    ]
    api.http.patch("/v1/streams/yard", json={"rules": rules}).raise_for_status()
    yard.told = {"zones": {"gate": {"state": "open", "distance": 0.031}}}
    yard.give(3)
    page = open_page(f"{url}#/streams/yard", width, 900, color_scheme=scheme).page
    expect(page.locator(".labels span")).to_be_visible()
    expect(page.locator('[data-rule="person-at-gate"]')).to_be_visible()
    page.get_by_role("button", name="Draw a zone").click()
    click(page, (0.7, 0.2), (0.9, 0.2), (0.9, 0.7))
    assert fits(page)
    assert faint(page) == []
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / f"zones-{width}-{scheme}.png", full_page=True)
    page.get_by_role("button", name="Add a rule").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.get_by_role("dialog").get_by_label("Schedule").check()
    assert fits(page)
    assert faint(page) == []
    page.screenshot(path=OUT / f"rule-{width}-{scheme}.png")
