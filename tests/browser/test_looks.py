"""How the page looks; the pictures are kept in out/page for people to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from pipeline.guard.stream_fidelity import GuardStatus
from tests.browser.actor import Actor
from tests.browser.conftest import OUT, Screen
from tests.browser.test_fidelity import FOUND
from tests.vocab.servers import Server
from tests.workers.gateway.words import publish

_CONTRAST = Path(__file__).with_name("contrast.js").read_text()
_SIZES = [(390, 844), (1280, 900), (2560, 1440)]


@pytest.fixture
def street(redis: Server, act: Callable[..., Actor]) -> list[Actor]:
    """Streams in all states that an operator may see."""
    actors = [
        act("gate", busy=0.4), act("yard", {"tokenizer": "recall"}, busy=0.2, recalls=True),
        act("dock", joules=None, method="none"),
    ]  # fmt: skip
    actors[0].version = publish(redis.url, "gate/dinov2_vits14_saliency", covered=0.75)
    actors[0].lose = {"late": 1}
    unable = GuardStatus(0.98, "cosine", "unable", "threshold", 0.005).to_dict()
    actors[0].watched = {"fidelity": FOUND, "lost": 0.93, "guard": unable}
    actors[1].watched = {"fidelity": FOUND}
    for actor in actors:
        actor.give(400, dropped={"late": 31, "gap": 2})
        actor.play()
    for name, state, reason in (
        ("lobby", "reconnecting", "the camera closed the connection; trying again in 2 s"),
        ("roof", "failed", "the model 'none' is not known; `vwt models` lists those that are"),
        ("cellar", "paused", None),
        ("archive", "ended", None),
    ):
        actor = act(name, {"paused": True} if state == "paused" else {})
        actor.say(state, reason)
        actors.append(actor)
    return actors


def faint(page: Page) -> list[str]:
    """Text that is hard to read: its contrast is below 4.5, or 3 where it is large (WCAG 2, AA)."""
    return list(page.evaluate(_CONTRAST))


def fits(page: Page) -> bool:
    """Whether nothing reaches beyond the width of the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def filled(page: Page) -> float:
    """How much of the width of the screen the tiles take."""
    ends = page.evaluate(
        "[...document.querySelectorAll('.tile')].map(tile => tile.getBoundingClientRect().right)"
    )
    return float(max(ends) / page.evaluate("innerWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), _SIZES)
def test_it_fits_from_phone_to_wall(
    url: str,
    street: list[Actor],
    open_page: Callable[..., Screen],
    width: int,
    height: int,
    scheme: Literal["light", "dark"],
) -> None:
    page = open_page(url, width, height, color_scheme=scheme).page
    expect(page.locator(".tile")).to_have_count(len(street))
    expect(page.locator(".tile canvas").first).to_be_visible()
    expect(page.locator(".tile").first).to_contain_text(" J")
    assert fits(page)
    assert faint(page) == []
    assert filled(page) > 0.9
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / f"wall-{width}-{scheme}.png")

    page.get_by_role("link", name="gate").click()
    expect(page.locator("tbody tr").first).to_be_visible()
    expect(page.locator(".picture canvas")).to_be_visible()
    expect(page.get_by_alt_text("All 40 words")).to_be_visible()
    expect(page.locator(".words path.js-line")).to_be_attached()
    expect(page.locator(".fidelity")).to_contain_text("cannot hold 0.98")
    assert fits(page)
    assert faint(page) == []
    page.screenshot(path=OUT / f"stream-{width}-{scheme}.png", full_page=True)

    page.get_by_role("link", name="All streams").click()
    page.get_by_role("link", name="yard").click()
    expect(page.locator("tbody")).to_contain_text("hold")
    expect(page.locator(".bill")).to_contain_text(" J")
    expect(page.locator(".saving")).to_contain_text("less than one in full")
    assert fits(page)
    assert faint(page) == []
    page.screenshot(path=OUT / f"recall-{width}-{scheme}.png", full_page=True)

    page.get_by_role("button", name="Add a stream").click()
    expect(page.get_by_label("Source")).to_be_focused()
    # Without scrolling.
    for button in page.locator("#settings .buttons button").all():
        expect(button).to_be_in_viewport(ratio=1)
    assert fits(page)
    assert faint(page) == []
    page.screenshot(path=OUT / f"form-{width}-{scheme}.png")
