"""What a stream's answers are worth, as the page says it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from pipeline.guard.bounds import Interval
from pipeline.guard.stream_fidelity import GuardStatus, StreamFidelity
from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.browser.test_wall import figure
from tests.workers.gateway.serving import Api
from workers.contract.share import Share

Act = Callable[..., Actor]
Open = Callable[..., Screen]

FOUND = StreamFidelity(
    audits=84,
    target=0.98,
    missed=Interval(0.006, 0.091, 0.0238, 84),
    missed_hour=Interval(0.1, 0.4, 0.25, 8),
    error=Interval(0.004, 0.021, 0.00792, 84),
    error_hour=Interval(0.0, 0.2, 0.0113, 8),
    agreement=Interval(0.91, 1.0, 0.99, 84),
    share=0.0214,
).to_dict()
NOTHING: dict[str, object] = {"mean": None, "low": None, "high": None, "reason": "nothing was audited"}


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="Fidelity")


def test_what_audits_found_is_shown_with_its_bounds(url: str, act: Act, open_page: Open) -> None:
    act("yard").give(10, fidelity=FOUND)
    shown = panel(open_page(f"{url}#/streams/yard").page)
    expect(figure(shown, "Frames audited")).to_have_text("84")
    expect(figure(shown, "Missed")).to_have_text("2.4 % below 0.98 (0.6 to 9.1 %)")
    expect(figure(shown, "Missed, last hour")).to_have_text("25 % (10 to 40 %)")
    expect(figure(shown, "Mean cosine distance")).to_have_text("0.00792 (0.004 to 0.021)")
    expect(figure(shown, "The same, last hour")).to_have_text("0.0113 (0 to 0.2)")
    expect(figure(shown, "Agreement")).to_have_text("99 % (91 to 100 %)")
    expect(figure(shown, "Cost of audits")).to_have_text("2.1 % of the operations")
    expect(shown).to_contain_text("never of a single frame")


def test_what_no_audit_can_tell_is_a_dash(url: str, act: Act, open_page: Open) -> None:
    act("yard").give(10, fidelity=FOUND | {"agreement": NOTHING, "missed_hour": NOTHING, "cost": None})
    shown = panel(open_page(f"{url}#/streams/yard").page)
    expect(figure(shown, "Frames audited")).to_have_text("84")
    for name in ("Missed, last hour", "Agreement", "Cost of audits"):
        expect(figure(shown, name)).to_have_text("–")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"tokenizer": "merge"}, "No frame was audited yet: 2.0 % of them are drawn at random"),
        ({"tokenizer": "merge", "audit": 0}, "audits are off"),
        ({"tokenizer": "full"}, "Nothing to audit: full answers in full."),
    ],
    ids=["not-yet", "off", "full"],
)
def test_where_nothing_was_audited_the_reason_is_told(
    url: str, api: Api, open_page: Open, settings: dict[str, object], reason: str
) -> None:
    api.add(name="yard", **settings)
    shown = panel(open_page(f"{url}#/streams/yard").page)
    expect(shown).to_contain_text(reason)
    expect(figure(shown, "Missed")).to_have_text("–")


@pytest.mark.parametrize(
    ("settings", "guard", "words"),
    [
        (
            {"tokenizer": "merge", "guard": 0.98},
            GuardStatus(0.98, "cosine", "holding", "r", 8.0).to_dict(),
            "holding 0.98 (cosine) at --r 8",
        ),
        (
            {"tokenizer": "merge", "guard": 0.98},
            GuardStatus(0.98, "cosine", "unable", "r", 1.0).to_dict(),
            "cannot hold 0.98, running in full",
        ),
        ({"tokenizer": "merge", "guard": 0.98}, None, "0.98 (cosine), not at work yet"),
        ({"tokenizer": "merge"}, None, "none: r stays as it is"),
        ({"tokenizer": "recall", "guard": 0.95}, None, "0.95 (cosine), not at work yet"),
        (
            {"tokenizer": "recall", "guard": 0.95},
            GuardStatus(0.95, "cosine", "tightened", "target", 0.9646, 40, 3).to_dict(),
            "holding 0.95 (cosine), tightened to --target 0.9646: 3 of 40 answers looked at missed",
        ),
        ({"tokenizer": "recall"}, None, "recall holds its target of 0.98 (cosine) by itself"),
        ({"tokenizer": "full"}, None, "none"),
    ],
    ids=["holding", "unable", "not-yet", "no-guard", "recall-not-yet", "recall-tightened", "recall", "full"],
)
def test_what_the_guard_does_is_told_in_words(
    url: str, act: Act, open_page: Open, settings: dict[str, object], guard: object, words: str
) -> None:
    act("yard", settings).give(10, guard=guard)
    page = open_page(f"{url}#/streams/yard").page
    expect(figure(panel(page), "Guard")).to_have_text(words)


def test_a_stream_that_loses_frames_says_what_helps_in_its_view(url: str, act: Act, open_page: Open) -> None:
    actor = act("yard")
    actor.give(10, lost=0.4)
    page = open_page(f"{url}#/streams/yard").page
    expect(page.locator(".badge")).to_contain_text("degraded")
    expect(page.locator(".stream > .reason")).to_contain_text("40% of its frames come too late")
    actor.give(10, lost=None)
    expect(page.locator(".badge")).to_contain_text("running")


def test_what_a_stream_gets_and_what_is_left_of_a_budget_are_shown(
    url: str, act: Act, open_page: Open
) -> None:
    budget = {"unit": "gflops", "limit": 30.0, "used": 28.4}
    share = Share(priority=2.0, gflops=12.3, fps=4.0, target=0.95, own_target=0.98, budget=budget)
    act("yard").give(10, sharing=share.to_dict())
    act("gate").give(10)
    page = open_page(f"{url}#/streams/yard").page
    expect(figure(panel(page), "Gets")).to_have_text(
        "12.3 GFLOP/s, at most 4 frames/s, holding 0.95 instead of 0.98, "
        "giving way to the budget of 30 gflops (priority 2)"
    )
    page = open_page(f"{url}#/streams/gate").page
    expect(figure(panel(page), "Gets")).to_have_text("all it wants")
    strip = open_page(url).page.get_by_role("region", name="All streams")
    expect(figure(strip, "Budget")).to_have_text("28.4 of 30 gflops, 1 with a lower target")


def test_audits_and_guard_are_changed_in_the_form(url: str, api: Api, open_page: Open) -> None:
    api.add(name="yard", tokenizer="merge", guard=0.95)
    screen = open_page(f"{url}#/streams/yard")
    page, screen.refusals = screen.page, {422}
    before = api.http.get("/v1/streams/yard").json()["settings"]
    page.get_by_role("button", name="Change yard").click()
    form = page.get_by_role("dialog")
    guarded = form.get_by_label("Guarded fidelity")
    expect(guarded).to_have_value("0.95")
    expect(form.get_by_label("Audited share")).to_have_value("0.02")
    guarded.fill("0.2")
    form.get_by_role("button", name="Save").click()
    expect(form.locator(".wrong")).to_contain_text("greater than or equal to 0.5")
    guarded.fill("")
    form.get_by_label("Audited share").fill("0.1")
    form.get_by_label("Priority").fill("2")
    form.get_by_role("button", name="Save").click()
    expect(form).to_be_hidden()
    assert api.http.get("/v1/streams/yard").json()["settings"] == before | {
        "guard": None,
        "audit": 0.1,
        "priority": 2,
    }
