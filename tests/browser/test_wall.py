from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.workers.gateway.serving import Api


def tile(page: Page, stream: str) -> Locator:
    return page.locator(f'.tile[data-stream="{stream}"]')


def figure(shown: Locator, name: str) -> Locator:
    return shown.locator("dl > div").filter(has=shown.page.get_by_text(name, exact=True)).locator("dd")


def test_a_stream_is_added_by_form_and_opened(url: str, api: Api, open_page: Callable[..., Screen]) -> None:
    page = open_page(url).page
    expect(page.get_by_text("No streams yet")).to_be_visible()
    page.get_by_role("button", name="Add a stream").click()
    page.get_by_label("Source").fill("sample:bikes")
    page.get_by_label("Name").fill("gate")
    page.get_by_label("Frames per second").fill("2.5")
    page.get_by_label("Tokenizer").select_option("intra")
    page.get_by_label("share of patches dropped").fill("0.4")
    expect(page.get_by_label("Audited share")).to_have_attribute("placeholder", "0.02")
    page.get_by_label("Audited share").fill("0.05")
    page.get_by_label("Guarded fidelity").fill("0.97")
    page.get_by_label("Guarded by").select_option("agreement")
    page.get_by_label("How pictures fit in").select_option("letterbox")
    page.get_by_role("textbox", name="Size").fill("448x252")
    page.get_by_label("Labels").fill("site=north\ndoor = 2")
    page.get_by_label("Deliver results to").fill("http://127.0.0.1:9/results")
    page.get_by_label("play it again").check()
    page.get_by_label("not as it usually is").check()
    page.keyboard.press("Enter")
    expect(tile(page, "gate").locator(".badge")).to_contain_text("starting")
    view = api.http.get("/v1/streams/gate").json()
    settings = view["settings"]
    assert view["labels"] == {"site": "north", "door": "2"}
    assert [sink["to"] for sink in view["sinks"]] == ["http://127.0.0.1:9/***"]
    wanted = {"fps": 2.5, "tokenizer": "intra", "drop": 0.4, "loop": True, "realtime": False}
    wanted |= {"changed": True, "zones": None}
    wanted |= {"audit": 0.05, "guard": 0.97, "guard_by": "agreement"}
    wanted |= {"fit": "letterbox", "size": "448x252"}
    assert wanted.items() <= settings.items()
    page.get_by_role("link", name="gate").click()
    expect(page.get_by_role("heading", name="gate")).to_be_visible()


def test_a_form_that_is_refused_says_why_and_can_be_mended(
    url: str, api: Api, open_page: Callable[..., Screen]
) -> None:
    api.add(name="yard")
    screen = open_page(url)
    screen.refusals = {409, 422}
    page, form = screen.page, screen.page.get_by_role("dialog")
    page.get_by_role("button", name="Add a stream").click()
    page.get_by_label("Source").fill("sample:bikes")
    page.get_by_label("Name").fill("Not A Name")
    form.get_by_role("button", name="Add").click()
    expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Name")).to_be_focused()
    page.get_by_label("Name").fill("yard")
    page.keyboard.press("Enter")
    expect(form.get_by_role("alert")).to_contain_text("there is a stream 'yard' already")
    page.get_by_label("Name").fill("")
    page.get_by_label("Source").fill("/etc/passwd")
    page.keyboard.press("Enter")
    expect(form.get_by_role("alert")).to_contain_text("--allow-folder")
    page.get_by_label("Source").fill("sample:bikes")
    for field, text, reason in (
        ("Labels", "north", "a label is key=value"),
        ("Deliver results to", "ftp://there", "results cannot go to ftp://"),
        ("Deliver results to", "kafka://there", "the URL must read kafka://host/topic"),
    ):
        page.get_by_label(field).fill(text)
        form.get_by_role("button", name="Add").click()
        expect(form.locator(".wrong")).to_contain_text(reason)
        expect(page.get_by_label(field)).to_be_focused()
        page.get_by_label(field).fill("")
    page.get_by_label("Source").focus()
    page.keyboard.press("Enter")
    expect(form).to_be_hidden()
    expect(tile(page, "bikes")).to_be_visible()


def test_a_tile_shows_what_the_stream_does(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    actor = act("yard", joules=0.8)
    actor.give(100)
    actor.play()
    shown = tile(open_page(url).page, "yard")
    expect(shown.locator(".badge")).to_contain_text("running")
    expect(figure(shown, "Frames/s")).to_have_text("10")
    expect(figure(shown, "Tokens kept")).to_have_text(re.compile(r"^[3-6]\d %$"))
    expect(figure(shown, "Per frame")).to_have_text(re.compile(r"^0\.[3-6]\d* J$"))
    expect(figure(shown, "Latency")).to_have_text("63 ms")
    expect(figure(shown, "Worker")).to_have_text("pid 4200")
    first = shown.locator("canvas").get_attribute("data-frame")
    expect(shown.locator("canvas")).not_to_have_attribute("data-frame", first or "")


def test_the_wall_sums_up_all_streams_and_never_adds_measured_to_estimated_joules(
    url: str, api: Api, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    for name, method in (("yard", "nvml"), ("gate", "nvml"), ("dock", "estimate")):
        actor = act(name, method=method)
        # Of the gate no frame in full is known.
        saved = None if name == "gate" else 1.8e6
        actor.give(20, joules=1.8e6, tokens_full=1000, tokens_kept=500, saved_joules=saved)
    api.add(name="roof", paused=True)
    page = open_page(url).page
    sums = page.get_by_role("region", name="All streams")
    expect(figure(sums, "Streams")).to_have_text("3 running, 1 starting")
    expect(figure(sums, "Frames/s")).to_have_text("30")
    expect(figure(sums, "Saved so far")).to_have_text("about 0.5 kWh (estimate), about 0.5 kWh (nvml)")
    expect(sums).to_contain_text(
        "over 2 of 4 streams since each was added, measured against their own frames"
    )


def test_what_is_not_known_is_a_dash(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    actor = act("yard", joules=None, method="none")
    actor.play()
    shown = tile(open_page(url).page, "yard")
    expect(figure(shown, "Tokens kept")).to_have_text(re.compile(r"\d %$"))
    expect(figure(shown, "Per frame")).to_have_text("–")


def test_a_source_that_breaks_is_told_with_its_reason(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    actor = act("yard")
    actor.give(10)
    shown = tile(open_page(url).page, "yard")
    actor.say("reconnecting", "the camera closed the connection; trying again in 2 s")
    expect(shown.locator(".badge")).to_contain_text("reconnecting")
    expect(shown).to_contain_text("the camera closed the connection")
    expect(figure(shown, "Frames/s")).to_have_text("–")


def test_results_that_stay_away_are_called_stale(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    act("yard").give(10, results_at=1000.0, since=1000.0)
    page = open_page(url).page
    expect(tile(page, "yard").locator(".badge")).to_contain_text("stale")
    expect(tile(page, "yard")).to_contain_text("no result for")
    expect(page.locator("#summary")).to_contain_text("1 stale")


def test_streams_that_lose_frames_are_degraded_and_told_what_helps(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    for name, lost in (("yard", 0.93), ("gate", 0.124), ("dock", None)):
        act(name).give(10, lost=lost)
    page = open_page(url, width=640).page
    shown = tile(page, "yard")
    expect(shown.locator(".badge")).to_contain_text("degraded")
    reason = shown.locator(".reason")
    expect(reason).to_have_text(
        re.compile("^93% of its frames come too late .* a lower fps, .* replicas help$")
    )
    # All of it can be read, not only its beginning.
    assert reason.evaluate("line => line.scrollHeight <= line.clientHeight")
    expect(tile(page, "dock").locator(".badge")).to_contain_text("running")
    expect(figure(shown, "Frames/s")).to_have_text("10")
    expect(page.locator("#summary")).to_contain_text("1 of 3 running · 2 degraded")
    sums = page.get_by_role("region", name="All streams")
    expect(figure(sums, "Streams")).to_have_text("2 degraded, 1 running")
    expect(sums).to_contain_text("yard: 93% of its frames come too late")
    expect(sums).to_contain_text("help. Others that lose frames: gate 12 %.")


def test_a_guard_that_cannot_hold_its_target_is_told_on_the_wall(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    unable = {"target": 0.98, "by": "cosine", "state": "unable", "option": "r", "value": 1.0}
    act("yard").give(10, guard=unable)
    page = open_page(url).page
    expect(tile(page, "yard").locator(".reason")).to_have_text("guard: cannot hold 0.98, running in full")


def test_a_stream_is_paused_resumed_and_removed_with_the_keyboard(
    url: str, api: Api, open_page: Callable[..., Screen]
) -> None:
    api.add(name="yard")
    page = open_page(url).page
    pause = page.get_by_role("button", name="Pause yard")
    pause.focus()
    page.keyboard.press("Enter")
    resume = page.get_by_role("button", name="Resume yard")
    expect(resume).to_be_visible()
    assert api.http.get("/v1/streams/yard").json()["settings"]["paused"] is True
    expect(resume).to_be_focused()
    page.keyboard.press("Enter")
    expect(pause).to_be_focused()
    assert api.http.get("/v1/streams/yard").json()["settings"]["paused"] is False

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Remove yard?")
    page.keyboard.press("Escape")
    expect(tile(page, "yard")).to_be_visible()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_text("No streams yet")).to_be_visible()


def test_a_service_that_is_away_is_told_and_found_again(
    url: str, act: Callable[..., Actor], open_page: Callable[..., Screen]
) -> None:
    act("yard").play()
    screen = open_page(url)
    page, screen.offline = screen.page, True
    expect(figure(tile(page, "yard"), "Frames/s")).to_have_text("10")
    page.context.set_offline(True)
    expect(page.locator("#banner")).to_contain_text("The service does not answer")
    expect(page.locator("#banner")).to_contain_text("old")
    page.context.set_offline(False)
    expect(page.locator("#banner")).to_be_hidden()
