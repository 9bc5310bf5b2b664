"""Rules on a stream's page: a form made of OpenAPI, with zones to choose and reasons at their fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api

GATE = [[0.2, 0.2], [0.6, 0.2], [0.6, 0.7]]


@pytest.fixture
def screen(url: str, api: Api, open_page: Callable[..., Screen]) -> Screen:
    api.add(name="yard")
    for name, states in (("bay", ["free", "taken"]), ("gate", ["open", "closed"])):
        body = {"polygon": GATE, "states": states}
        api.http.put(f"/v1/streams/yard/zones/{name}", json=body).raise_for_status()
    found = open_page(f"{url}#/streams/yard")
    expect(found.page.locator('[data-zone="gate"]')).to_be_visible()
    return found


@pytest.fixture
def page(screen: Screen) -> Page:
    return screen.page


def rules(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/v1/streams/yard").json()["settings"]["rules"]
    return found


def field(page: Page, name: str) -> Locator:
    return page.get_by_role("dialog").locator(f'[name="{name}"]')


def add(page: Page, **fields: str) -> None:
    page.get_by_role("button", name="Add a rule").click()
    fill(page, **fields)


def fill(page: Page, **fields: str) -> None:
    for name, value in fields.items():
        one = field(page, name)
        if one.evaluate("one => one.tagName") == "SELECT":
            one.select_option(value)
        else:
            one.fill(value)


def send(page: Page) -> None:
    form = page.get_by_role("dialog")
    form.get_by_role("button").last.click()
    expect(form).to_have_count(0)


def test_a_rule_that_can_make_no_event_says_so_until_it_can(api: Api, redis: Server, page: Page) -> None:
    rule = {"name": "open", "what": "zone", "zone": "gate", "state": "open"}
    api.http.patch("/v1/streams/yard", json={"rules": [rule]}).raise_for_status()
    actor = Actor(redis.url, "yard")
    card = page.locator('[data-rule="open"]')
    actor.give(1, idle_rules=["rule open can make no event: there are no zones, and it is about gate"])
    expect(card).to_contain_text("It can make no event: there are no zones, and it is about gate")
    actor.give(1, idle_rules=[])
    expect(card).not_to_contain_text("can make no event")


def test_a_rule_about_a_drawn_zone_is_added_changed_and_removed(api: Api, page: Page) -> None:
    page.get_by_role("button", name="Add a rule").click()
    form = page.get_by_role("dialog")
    expect(field(page, "what")).to_have_value("zone")
    fill(page, name="open-long", zone="gate", state="open", severity="alarm")
    fill(page, for_s="30", quiet_s="60")
    send(page)
    (rule,) = rules(api)
    wanted = {
        "what": "zone", "name": "open-long", "zone": "gate", "state": "open", "severity": "alarm",
        "for_s": 30, "quiet_s": 60, "gone_s": 0, "schedule": None, "clip": None,
    }  # fmt: skip
    assert rule == wanted
    card = page.locator('[data-rule="open-long"]')
    expect(card).to_contain_text("gate is open; for 30 s; then quiet for 60 s")

    card.get_by_role("button", name="Change").click()
    assert [field(page, one).input_value() for one in ("zone", "state")] == ["gate", "open"]
    fill(page, state="unknown")
    form.get_by_label("Schedule").check()
    form.get_by_label("sat").uncheck()
    form.get_by_label("sun").uncheck()
    fill(page, **{"schedule.start": "22:00", "schedule.until": "06:00"})
    send(page)
    (rule,) = rules(api)
    assert (rule["state"], rule["for_s"]) == ("unknown", 30)
    assert rule["schedule"]["days"] == ["mon", "tue", "wed", "thu", "fri"]
    assert (rule["schedule"]["start"], rule["schedule"]["until"]) == ("22:00", "06:00")
    expect(card).to_contain_text("22:00 to 06:00")

    card.get_by_role("button", name="Remove").click()
    form.get_by_role("button", name="Remove").click()
    expect(card).to_have_count(0)
    assert rules(api) == []


def test_each_kind_has_its_own_fields_and_things_may_be_within_a_drawn_zone(api: Api, page: Page) -> None:
    add(page, what="box", name="person", names="person, bicycle", at_least="2", above="0.6")
    fill(page, within="gate")
    send(page)
    add(page, what="stream", name="lost")
    form = page.get_by_role("dialog")
    form.get_by_label("degraded").uncheck()
    send(page)
    add(page, what="novelty", name="odd", above="0.4")
    # A cut does not last: there is nothing to fill in.
    fill(page, what="cut")
    expect(field(page, "for_s")).to_have_count(0)
    expect(field(page, "name")).to_have_value("odd")
    fill(page, what="novelty")
    expect(field(page, "above")).to_have_value("0.4")
    send(page)
    person, lost, odd = rules(api)
    assert (person["names"], person["at_least"], person["above"]) == (["person", "bicycle"], 2, 0.6)
    assert person["within"] == GATE
    assert lost["states"] == ["failed", "reconnecting"]
    assert (odd["what"], odd["above"]) == ("novelty", 0.4)
    # What was given some other way stays as it is.
    api.http.patch("/v1/streams/yard", json={"rules": [{**person, "within": [[0, 0], [1, 0], [1, 1]]}]})
    expect(page.locator("[data-rule]")).to_have_count(1)
    page.get_by_role("button", name="Change rule person").click()
    expect(field(page, "within")).to_have_value("as it is")
    fill(page, at_least="3")
    send(page)
    (person,) = rules(api)
    assert (person["within"], person["at_least"]) == ([[0, 0], [1, 0], [1, 1]], 3)


def test_what_the_api_refuses_is_said_at_its_field(screen: Screen, api: Api) -> None:
    screen.refusals = {422}
    page = screen.page
    form = page.get_by_role("dialog")
    add(page, name="first", zone="gate", state="open")
    send(page)

    def refused(name: str, reason: str) -> None:
        form.get_by_role("button", name="Add").click()
        expect(form.locator(".wrong")).to_contain_text(reason)
        expect(field(page, name)).to_have_attribute("aria-invalid", "true")
        expect(field(page, name)).to_be_focused()
        # What is wrong is read out with the field.
        expect(field(page, name)).to_have_accessible_description(re.compile(reason))

    add(page, what="box")
    refused("name", "Field required")
    fill(page, name="first")
    refused("name", "two rules are called")
    fill(page, name="second", above="0.4", below="0.6")
    refused("below", "hysteresis needs less")
    fill(page, below="", at_least="0")
    refused("at_least", "greater than or equal to 1")
    fill(page, at_least="1")
    form.get_by_label("Schedule").check()
    fill(page, **{"schedule.start": "25:00"})
    refused("schedule.start", "a time of day")
    fill(page, **{"schedule.start": "22:00"})
    send(page)
    assert [rule["name"] for rule in rules(api)] == ["first", "second"]
