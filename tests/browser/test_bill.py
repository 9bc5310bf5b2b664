"""What streams took by the day, as the page says it."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.actor import Actor
from tests.browser.conftest import Screen
from tests.browser.test_wall import figure
from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api
from workers.access.bearer_tokens import add_token
from workers.contract.bill import Figures, day_of
from workers.settings.schema import AccessSettings, GatewaySettings, ServiceSettings

Open = Callable[..., Screen]
KWH = 3.6e6
DAY_S = 86_400


@pytest.fixture
def priced(redis: Server) -> Iterator[str]:
    """A page whose service pays 0.25 EUR for a kWh: a yard that saves, a gate whose meter estimates."""
    settings = GatewaySettings(price_per_kwh=0.25, currency="EUR")
    api = Api(ServiceSettings(redis=redis.url, gateway=settings))
    for name, method, saved in (("yard", "nvml", 4 * KWH), ("gate", "estimate", None)):
        api.add(name=name)
        actor = Actor(redis.url, name, method=method)
        for days, joules in ((40, 50 * KWH), (3, 6 * KWH), (0, 2 * KWH)):
            energy = {method: Figures(10, joules, saved).to_dict()}
            actor.give(1, day=day_of(time.time() - days * DAY_S), day_energy=energy, saved_joules=saved)
    yield f"http://127.0.0.1:{api.port}/"
    for name in ("yard", "gate"):
        api.http.delete(f"/v1/streams/{name}")
    api.close()


def test_a_stream_says_what_it_took_and_saved_in_energy_and_money(priced: str, open_page: Open) -> None:
    page = open_page(f"{priced}#/streams/yard").page
    bill = page.get_by_role("region", name="Bill")
    expect(figure(bill, "Today")).to_have_text("2 kWh, 0.5 EUR")
    expect(figure(bill, "Saved today")).to_have_text("4 kWh, 1 EUR")
    expect(figure(bill, "The last 30 days")).to_have_text("8 kWh, 2 EUR")
    expect(figure(bill, "Saved in these")).to_have_text("8 kWh, 2 EUR")
    expect(bill).to_contain_text("at 0.25 EUR per kWh")
    expect(page.locator(".saving")).to_contain_text("worth 1 EUR at 0.25 EUR per kWh")


def test_what_no_frame_in_full_tells_is_not_said_to_be_saved(priced: str, open_page: Open) -> None:
    bill = open_page(f"{priced}#/streams/gate").page.get_by_role("region", name="Bill")
    expect(figure(bill, "Today")).to_have_text("2 kWh, 0.5 EUR")
    expect(figure(bill, "Saved today")).to_have_text("–")


def test_the_wall_sums_up_today_and_never_adds_measured_to_estimated(priced: str, open_page: Open) -> None:
    sums = open_page(priced).page.get_by_role("region", name="All streams")
    expect(figure(sums, "Today")).to_have_text("2 kWh, 0.5 EUR (estimate); 2 kWh, 0.5 EUR (nvml)")


def test_the_bill_is_loaded_as_a_table(priced: str, open_page: Open) -> None:
    page = open_page(priced).page
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Bill").click()
    lines = list(csv.DictReader(Path(loaded.value.path()).read_text().splitlines()))
    assert loaded.value.suggested_filename == "vwt-bill.csv"
    assert [line["stream"] for line in lines] == ["gate", "yard"] * 3


def test_the_bill_is_loaded_with_the_token_of_the_page(
    redis: Server, tmp_path: Path, open_page: Open
) -> None:
    tokens = tmp_path / "tokens"
    token = add_token(tokens, "operator", "read")
    api = Api(ServiceSettings(redis=redis.url, access=AccessSettings(token_file=tokens)))
    screen = open_page(f"http://127.0.0.1:{api.port}/")
    page, screen.refusals = screen.page, {401}
    page.locator("#login input").fill(token)
    page.keyboard.press("Enter")
    expect(page.get_by_text("No streams yet")).to_be_visible()
    with page.expect_download() as loaded:
        page.get_by_role("link", name="Bill").click()
    assert Path(loaded.value.path()).read_text().startswith("day,stream,method,")
    api.close()
