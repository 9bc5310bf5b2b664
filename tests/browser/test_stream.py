from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import MAP_SIZE, PLAIN_SIZE, WARM_UP, Actor
from tests.browser.conftest import Screen
from tests.browser.test_wall import figure
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from tests.workers.gateway.words import WORDS, publish

Act = Callable[..., Actor]
Open = Callable[..., Screen]


def frame(page: Page, number: int | str) -> None:
    """Waits until the newest prediction shown is of that frame."""
    expect(page.locator("tbody th").first).to_have_text(str(number))


def charts(page: Page) -> Locator:
    """The charts of the latest frames."""
    return page.get_by_role("region", name="Lately").locator(".chart")


def points(page: Page, chart: int) -> int:
    """How many points the line of a chart has, once Plotly has drawn it."""
    shown = charts(page).nth(chart)
    expect(shown.locator("path.js-line").first).to_be_attached()
    return int(shown.locator(".plot").evaluate("plot => plot.data[0].x.length"))


def test_predictions_and_lines_come_at_once_and_go_on(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.give(200)
    page = open_page(f"{url}#/streams/yard").page
    frame(page, 199)
    expect(page.locator("tbody tr").first).to_contain_text("1 region, best")
    expect(page.get_by_text("The last 200 frames, about 20 s.")).to_be_visible()
    expect(charts(page).nth(0)).to_contain_text(re.compile(r"Tokens kept.*\d %"))
    expect(charts(page).nth(1)).to_contain_text(re.compile(r"Energy per frame.*J"))
    expect(charts(page).nth(2)).to_contain_text(re.compile(r"p50 .*ms.*p99 .*ms"))
    assert points(page, 0) == 200
    actor.give(5)
    frame(page, 204)
    assert points(page, 0) == 205


def test_frames_that_were_dropped_are_a_line_for_each_reason(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.give(20)
    page = open_page(f"{url}#/streams/yard").page
    frame(page, 19)
    drops = charts(page).nth(3)
    expect(drops).to_be_hidden()
    actor.lose = {"late": 3, "gap": 1}
    actor.give(2)
    expect(drops).to_contain_text(re.compile(r"gap 2.*late 6"))
    assert points(page, 3) == 22


def test_the_newest_values_are_told_in_words_where_charts_cannot_be_loaded(
    url: str, act: Act, open_page: Open
) -> None:
    act("yard").give(20)
    screen = open_page(url)
    page, screen.offline = screen.page, True
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.route("**/plotly*", lambda route: route.abort())
    expect(page.locator(".tile")).to_be_visible()
    assert not [address for address in asked if "plotly" in address]
    page.get_by_role("link", name="yard").click()
    frame(page, 19)
    expect(page.get_by_role("img", name=re.compile(r"^Tokens kept: \d+ % now$"))).to_be_attached()


def test_its_words_are_drawn_anew_with_every_version(
    url: str, redis: Server, act: Act, open_page: Open
) -> None:
    actor = act("yard", {"tokenizer": "inter", "words": WORDS})
    scope = "yard/dinov2_vits14_saliency"
    actor.version = publish(redis.url, scope, covered=0.75)
    actor.give(10)
    page = open_page(f"{url}#/streams/yard").page
    panel = page.get_by_role("region", name="Words")
    for version in (1, 2):
        expect(panel).to_contain_text(f"Words (version {version})")
        expect(panel.get_by_alt_text(f"All {WORDS} words of version {version}")).to_be_visible()
        expect(panel).to_contain_text("1 of them without a patch")
        expect(panel.locator(".chart")).to_contain_text("75 %")
        if version == 1:
            actor.version = publish(redis.url, scope, covered=0.75)
            actor.give(1)


def test_what_was_touched_in_the_form_of_its_settings_is_changed_and_nothing_else(
    url: str, api: Api, open_page: Open
) -> None:
    api.add(name="yard", fps=5, threshold=0.03, tokenizer="inter", labels={"site": "north"}, loop=True)
    screen = open_page(f"{url}#/streams/yard")
    page, screen.refusals = screen.page, {422}
    before = api.http.get("/v1/streams/yard").json()["settings"]
    page.get_by_role("button", name="Change yard").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_label("Frames per second")).to_have_value("5")
    expect(form.get_by_label("Source")).to_be_hidden()
    form.get_by_label("Threshold").fill("3")
    page.keyboard.press("Enter")
    expect(form.locator(".wrong")).to_contain_text("less than or equal to 2")
    expect(form.get_by_label("Threshold")).to_be_focused()
    form.get_by_label("Threshold").fill("0.05")
    form.get_by_label("Frames per second").fill("")
    form.get_by_label("Labels").fill("site=south")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    expect(figure(page.get_by_role("region", name="Figures"), "Labels")).to_have_text("site=south")
    view = api.http.get("/v1/streams/yard").json()
    assert view["settings"] == before | {"threshold": 0.05, "fps": None}
    page.get_by_role("button", name="Add a stream").click()
    expect(page.get_by_label("Threshold")).to_have_value("")


def test_an_energy_that_settles_later_takes_the_place_of_the_first(
    url: str, act: Act, open_page: Open
) -> None:
    actor = act("yard")
    actor.give(3)
    page = open_page(f"{url}#/streams/yard").page
    frame(page, 2)
    actor.energy(2, 7.25)
    expect(page.locator("tbody tr").first).to_contain_text("7.25 J")


def test_the_picture_is_shown_with_and_without_the_token_map(url: str, act: Act, open_page: Open) -> None:
    act("yard").play()
    page = open_page(f"{url}#/streams/yard").page
    for checked, size in ((True, MAP_SIZE), (False, PLAIN_SIZE)):
        page.get_by_label("token map").set_checked(checked)
        expect(page.locator(".picture canvas")).to_have_js_property("width", size[0])


def test_figures_name_workers_words_and_drops(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.give(10, dropped={"late": 12, "gap": 0, "reconnect": 3}, vocab_version=7, restarts=1)
    screen = open_page(f"{url}#/streams/yard")
    # These words are in no store.
    page, screen.refusals = screen.page, {404}
    facts = page.get_by_role("region", name="Figures")
    expect(figure(facts, "Vocabulary")).to_have_text("version 7")
    expect(figure(facts, "Predicts")).to_have_text("pid 4200, 10.0.0.7")
    expect(figure(facts, "Taken over")).to_have_text("once")
    expect(page.locator(".drops li")).to_have_text(["late: 12", "reconnect: 3"])


def test_what_a_stream_with_words_saved_is_measured_against_its_warm_up(
    url: str, act: Act, open_page: Open
) -> None:
    actor = act("yard", {"tokenizer": "inter"}, joules=1.0, busy=0.5)
    actor.version = 1
    actor.give(WARM_UP + 80)
    screen = open_page(f"{url}#/streams/yard")
    # These words are in no store.
    page, screen.refusals = screen.page, {404}
    facts = page.get_by_role("region", name="Figures")
    expect(figure(facts, "Warm-up")).to_have_text("64 frames in full until there were words")
    expect(figure(facts, "Tokens kept since")).to_have_text("50 %")
    expect(figure(facts, "Decided")).to_have_text("–")
    saved = page.locator(".saving")
    expect(saved.locator(".big")).to_have_text(re.compile(r"^about 3[56]"))
    # Kept tokens go from .35 to .65 of all, what they cost from .41 to .69 of a frame in full.
    expect(saved).to_contain_text("A frame of the last 80 took 0.548 J, 45 % less than one in full")
    expect(saved).to_contain_text(
        re.compile(r"quartiles 3\d to 5\d % saved\), 1 J: the median of the latest 32")
    )
    expect(saved).to_contain_text("measured against its own frames that ran in full")


def test_a_stream_that_recalls_shows_what_was_decided_how_old_answers_are_and_what_it_keeps(
    url: str, act: Act, open_page: Open
) -> None:
    act("yard", {"tokenizer": "recall"}, joules=1.0, busy=0.2, recalls=True).give(96)
    page = open_page(f"{url}#/streams/yard").page
    facts = page.get_by_role("region", name="Figures")
    expect(figure(facts, "Decided")).to_have_text("67 % hold, 31 % recall, 2.1 % full")
    expect(figure(facts, "Recalls from")).to_have_text("4.6 MB")
    expect(figure(facts, "Warm-up")).to_have_text("none")
    newest = page.locator("tbody tr")
    expect(newest.nth(0)).to_contain_text("hold, 200 ms old")
    expect(newest.nth(2)).to_contain_text(re.compile(r"\d %, recall"))
    expect(page.locator(".saving")).to_contain_text("less than one in full")
    page.get_by_role("link", name="All streams").click()
    expect(page.get_by_role("region", name="All streams")).to_contain_text("4.6 MB")


def test_what_was_predicted_is_told_over_all_that_is_shown(url: str, act: Act, open_page: Open) -> None:
    act("yard").give(100)
    page = open_page(f"{url}#/streams/yard").page
    panel = page.get_by_role("region", name="Predictions", exact=True)
    expect(panel).to_contain_text("Of the last 100 frames: 1 region per frame, some in 100 % of them.")


def test_what_was_saved_is_stated_with_its_basis(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    proven = {
        "audits": 90,
        "enough": 60,
        "operations": {"mean": 0.62, "low": 0.62, "high": 0.62},
        "time": {"mean": 0.55, "low": 0.48, "high": 0.611},
        "joules": {"mean": None, "low": None, "high": None},
    }
    actor.give(10, joules=7.2e6, full_joules=[], saved_joules=1.08e7, saving=proven)
    page = open_page(f"{url}#/streams/yard").page
    saved = page.locator(".saving")
    expect(saved.locator(".big")).to_have_text("about 3 kWh")
    expect(saved).to_contain_text(
        "Saved by a frame, by 90 that were audited: 62 % of the operations, 55 % of the time (48 to 61 %)."
    )
    expect(saved).not_to_contain_text("Bounds need")
    expect(saved).to_contain_text("measured by the GPU's counter")
    # The service has no price.
    expect(page.locator(".bill")).to_contain_text("What its frames took, audits included, by days of UTC. ")
    expect(saved).not_to_contain_text("worth")


def test_bounds_that_say_nothing_yet_are_not_shown_but_what_they_need_is(
    url: str, act: Act, open_page: Open
) -> None:
    actor = act("yard")
    proven = {
        "audits": 5,
        "enough": 60,
        "operations": {"mean": 0.62, "low": 0.62, "high": 0.62},
        "time": {"mean": 0.55, "low": None, "high": 1.0},
        "joules": {"mean": 0.5, "low": -0.6, "high": 0.9},
    }
    actor.give(10, joules=7.2e6, full_joules=[], saved_joules=1.08e7, saving=proven)
    expect(open_page(f"{url}#/streams/yard").page.locator(".saving")).to_contain_text(
        "by 5 that were audited: 62 % of the operations, 55 % of the time, 50 % of the joules. "
        "Bounds need about 60 audits."
    )


@pytest.mark.parametrize(
    "unknown",
    [
        {"joules": None, "energy_method": "none", "saved_joules": None},
        {"saved_joules": None},
    ],
    ids=["no-meter", "none-in-full"],
)
def test_nothing_is_said_to_be_saved_where_it_is_not_known(
    url: str, act: Act, open_page: Open, unknown: dict[str, object]
) -> None:
    actor = act("yard")
    actor.give(10, **unknown)
    page = open_page(f"{url}#/streams/yard").page
    frame(page, 9)
    expect(page.locator(".saving")).to_be_hidden()


def test_it_goes_on_by_itself_after_the_network_was_away(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.give(10)
    screen = open_page(f"{url}#/streams/yard")
    page, screen.offline = screen.page, True
    frame(page, 9)
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_be_visible()
    actor.give(10)
    page.context.set_offline(False)
    frame(page, 19)
    expect(page.locator("tbody th").nth(10)).to_have_text("9")


def test_a_stream_that_is_removed_meanwhile_is_said_to_be_gone(
    url: str, api: Api, act: Act, open_page: Open
) -> None:
    act("yard").give(3)
    screen = open_page(f"{url}#/streams/yard")
    # Its picture may be asked for just after it is gone.
    page, screen.refusals = screen.page, {404}
    frame(page, 2)
    api.http.delete("/v1/streams/yard")
    expect(page.locator(".badge")).to_contain_text("gone")
    page.get_by_role("link", name="All streams").click()
    expect(page.get_by_text("No streams yet")).to_be_visible()


def test_names_and_reasons_are_text_and_never_markup(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.say("failed", "<img src=x onerror=alert(1)> is no source")
    page = open_page(url).page
    expect(page.locator(".tile")).to_contain_text("<img src=x onerror=alert(1)> is no source")
