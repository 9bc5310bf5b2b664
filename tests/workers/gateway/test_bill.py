from __future__ import annotations

import csv
from collections.abc import Iterator

import pytest

from tests.vocab.servers import Server
from tests.workers.gateway.serving import Api, Writer
from workers.contract.bill import Figures
from workers.settings.schema import GatewaySettings, ServiceSettings

KWH = 3.6e6
# A day of the gate, whose meter changed; the dock saved nothing that is known.
GATE = {"nvml": Figures(10, KWH, 2 * KWH).to_dict(), "estimate": Figures(5, 0.5 * KWH).to_dict()}
DOCK = {"nvml": Figures(4, 3 * KWH).to_dict()}


@pytest.fixture(params=[None, 0.25], ids=["no-price", "price"])
def price(request: pytest.FixtureRequest) -> float | None:
    value: float | None = request.param
    return value


@pytest.fixture
def priced(redis: Server, price: float | None) -> Iterator[Api]:
    """Streams on two days: gate and dock; roof has no meter."""
    settings = GatewaySettings(price_per_kwh=price, currency=None if price is None else "EUR")
    api = Api(ServiceSettings(redis=redis.url, gateway=settings))
    for name, days in (
        ("gate", [("2026-11-30", GATE), ("2026-12-01", GATE)]),
        ("dock", [("2026-12-01", DOCK)]),
    ):
        api.add(name=name)
        writer = Writer(redis.url, name)
        for number, (day, energy) in enumerate(days):
            writer.log.append(writer.fence, number, ["{}"], {"day": day, "day_energy": energy})
    api.add(name="roof")
    yield api
    for name in ("gate", "dock", "roof"):
        api.http.delete(f"/v1/streams/{name}")
    api.close()


def test_it_sums_up_streams_days_and_all_and_never_adds_different_methods(
    priced: Api, price: float | None
) -> None:
    bill = priced.http.get("/v1/bill").json()
    keys = ("day", "stream", "method", "frames", "kwh", "saved_kwh")

    def rows(name: str) -> list[tuple[object, ...]]:
        return [tuple(entry[key] for key in keys) for entry in bill[name]]

    assert rows("lines") == [
        ("2026-11-30", "gate", "estimate", 5, 0.5, None),
        ("2026-11-30", "gate", "nvml", 10, 1.0, 2.0),
        ("2026-12-01", "dock", "nvml", 4, 3.0, None),
        ("2026-12-01", "gate", "estimate", 5, 0.5, None),
        ("2026-12-01", "gate", "nvml", 10, 1.0, 2.0),
    ]
    assert rows("streams") == [
        (None, "dock", "nvml", 4, 3.0, None),
        (None, "gate", "estimate", 10, 1.0, None),
        (None, "gate", "nvml", 20, 2.0, 4.0),
    ]
    assert rows("days") == [
        ("2026-11-30", None, "estimate", 5, 0.5, None),
        ("2026-11-30", None, "nvml", 10, 1.0, 2.0),
        ("2026-12-01", None, "estimate", 5, 0.5, None),
        ("2026-12-01", None, "nvml", 14, 4.0, 2.0),
    ]
    assert rows("total") == [(None, None, "estimate", 10, 1.0, None), (None, None, "nvml", 24, 5.0, 4.0)]
    assert bill["unmetered"] == ["roof"]
    assert [entry["joules"] for entry in bill["total"]] == [KWH, 5 * KWH]
    money = [(entry["money"], entry["saved_money"]) for entry in bill["total"]]
    assert money == ([(None, None)] * 2 if price is None else [(0.25, None), (1.25, 1.0)])
    assert (bill["price_per_kwh"], bill["currency"]) == (price, None if price is None else "EUR")


@pytest.mark.parametrize(
    ("query", "frames"),
    [({"since": "2026-12-01"}, 19), ({"until": "2026-11-30"}, 15), ({"since": "2026-12-02"}, 0)],
    ids=["since", "until", "nothing"],
)
def test_days_may_be_chosen(priced: Api, query: dict[str, str], frames: int) -> None:
    bill = priced.http.get("/v1/bill", params=query).json()
    assert sum(entry["frames"] for entry in bill["total"]) == frames


def test_what_is_no_day_is_refused(priced: Api) -> None:
    assert priced.http.get("/v1/bill", params={"since": "yesterday"}).status_code == 422


def test_the_table_has_a_line_per_day_stream_and_method(priced: Api, price: float | None) -> None:
    answer = priced.http.get("/v1/bill.csv", params={"until": "2026-11-30"})
    assert answer.headers["content-type"].startswith("text/csv")
    assert "vwt-bill.csv" in answer.headers["content-disposition"]
    estimated, measured = csv.DictReader(answer.text.splitlines())
    assert list(measured) == [
        *("day", "stream", "method", "frames", "joules", "kwh", "money", "currency"),
        *("saved_joules", "saved_kwh", "saved_money"),
    ]
    assert (measured["day"], measured["stream"], measured["method"]) == ("2026-11-30", "gate", "nvml")
    assert (float(measured["joules"]), float(measured["kwh"]), float(measured["saved_kwh"])) == (
        KWH,
        1.0,
        2.0,
    )
    # What is not known is no zero.
    assert (estimated["saved_joules"], estimated["saved_money"]) == ("", "")
    assert (measured["money"], measured["currency"]) == (("", "") if price is None else ("0.25", "EUR"))
