"""Events on the page: a row of pictures on the wall and of each stream, and rules in the form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import make_clips
from tests.browser.actor import Actor
from tests.browser.conftest import OUT, Screen
from tests.browser.test_looks import faint, fits
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from tests.workers.gateway.test_events import Teller

_PICTURE = Path(__file__).parents[2] / "docs" / "annotated.png"


def happened(redis: Server, stream: str) -> Teller:
    teller = Teller(redis.url, stream)
    teller.tell("one", severity="alarm", picture=_PICTURE.read_bytes())
    return teller


def row(page: Page) -> list[str | None]:
    events = page.get_by_role("list", name="Events, the newest first").locator("li")
    return [one.get_attribute("data-event") for one in events.all()]


def test_events_are_on_the_wall_with_pictures_and_lead_to_their_stream(
    url: str, api: Api, redis: Server, open_page: Callable[..., Screen]
) -> None:
    api.add(name="yard")
    api.add(name="gate")
    page = open_page(url).page
    # Without events nothing is said of them.
    expect(page.locator('.tile[data-stream="yard"]')).to_be_visible()
    expect(page.get_by_role("region", name="Events")).to_be_hidden()
    teller = happened(redis, "yard")
    event = page.locator('.event[data-event="one"]')
    expect(event).to_contain_text("alarm")
    expect(event).to_contain_text("under way")
    picture = event.get_by_role("img")
    expect(picture).to_be_visible()
    expect(picture).not_to_have_js_property("naturalWidth", 0)
    assert picture.evaluate("picture => picture.naturalWidth") > 100
    teller.tell("one", state="end", duration_s=12.0)
    expect(event).to_contain_text("lasted 12 s")
    Teller(redis.url, "gate").tell("two")
    expect(page.locator('.event[data-event="two"]')).to_contain_text("no picture")
    assert row(page) == ["two", "one"]
    event.get_by_role("link", name="yard").click()
    expect(page.get_by_role("heading", name="yard")).to_be_visible()
    expect(page.locator('.event[data-event="one"]')).to_be_visible()
    assert row(page) == ["one"]


def test_a_clip_is_played_over_the_page_and_its_absence_explained(
    url: str, api: Api, redis: Server, open_page: Callable[..., Screen], clips: Path
) -> None:
    api.add(name="yard")
    there, awaited = "a" * 20, "b" * 20
    teller = Teller(redis.url, "yard")
    teller.tell(awaited, there, clip_reason="the seconds after it are awaited")
    page = open_page(f"{url}#/streams/yard").page
    event = page.locator(f'.event[data-event="{there}"]')
    expect(event).to_contain_text("no clip: the seconds after it are awaited")
    (clips / "yard").mkdir(parents=True)
    make_clips.steady(clips / "yard" / f"{there}.mp4")
    teller.tell(there, state="clip", clip=f"/v1/streams/yard/events/{there}/clip.mp4", clip_reason=None)
    event.get_by_role("button", name="Play the clip of person").click()
    dialog = page.get_by_role("dialog", name="Clip of person")
    expect(dialog).to_be_visible()
    expect(dialog.locator("video")).to_have_js_property("videoWidth", 160)
    expect(dialog.get_by_text("does not play")).to_be_hidden()
    expect(dialog.get_by_role("link", name="Save")).to_have_attribute("download", "yard-person-clip.mp4")
    OUT.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=OUT / "events-clip.png")
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()
    expect(page.locator(f'.event[data-event="{awaited}"]')).to_contain_text("no clip")


def test_a_stream_without_events_says_what_makes_them(
    url: str, api: Api, open_page: Callable[..., Screen]
) -> None:
    api.add(name="yard")
    page = open_page(f"{url}#/streams/yard").page
    expect(page.get_by_role("region", name="Events")).to_contain_text("Rules of the stream make them")


def test_rules_are_filled_in_refused_by_their_field_and_changed(
    url: str, api: Api, open_page: Callable[..., Screen]
) -> None:
    api.add(name="yard")
    screen = open_page(f"{url}#/streams/yard")
    screen.refusals = {422}
    page, form = screen.page, screen.page.get_by_role("dialog")
    page.get_by_role("button", name="Change yard").click()
    for text, reason in (
        ("[{", "a list in JSON is wanted"),
        ('[{"name": "a", "what": "box", "at_least": 0}]', "rule 1, at_least: Input should be greater"),
    ):
        form.get_by_label("Rules").fill(text)
        form.get_by_role("button", name="Save").click()
        expect(form.get_by_label("Rules")).to_have_attribute("aria-invalid", "true")
        expect(form).to_contain_text(reason)
    form.get_by_label("Rules").fill('[{"name": "a", "what": "box", "at_least": 2}]')
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    (rule,) = api.http.get("/v1/streams/yard").json()["settings"]["rules"]
    assert rule["at_least"] == 2
    # What is there is shown, and left alone when nothing was changed.
    page.get_by_role("button", name="Change yard").click()
    assert json.loads(form.get_by_label("Rules").input_value())[0]["at_least"] == 2
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    assert api.http.get("/v1/streams/yard").json()["revision"] == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_the_timeline_fits_from_phone_to_wall(
    url: str,
    redis: Server,
    act: Callable[..., Actor],
    open_page: Callable[..., Screen],
    width: int,
    scheme: str,
) -> None:
    act("yard").give(20)
    teller = happened(redis, "yard")
    for number in range(30):
        teller.tell(f"event-{number}", severity=("info", "warning", "alarm")[number % 3])
    for where in ("", "#/streams/yard"):
        page = open_page(f"{url}{where}", width, 900, color_scheme=scheme).page
        expect(page.locator(".event")).to_have_count(31)
        assert fits(page)
        assert faint(page) == []
        OUT.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=OUT / f"events-{'stream' if where else 'wall'}-{width}-{scheme}.png")
