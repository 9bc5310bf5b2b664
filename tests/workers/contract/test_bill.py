from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from vocab.connection import RedisClient
from workers.contract.bill import DAYS_KEPT, Figures, Line, day_of
from workers.contract.fenced import FencedError
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore

KEYS = StreamKeys("gate")


@pytest.fixture
def log(client: RedisClient) -> ResultLog:
    """Of a stream "gate" that was just added."""
    StreamStore(client).add(StreamSpec(id="gate", source="sample:bikes"))
    return ResultLog(client, "gate", 1000)


def took(day: str | None, joules: float, **more: Any) -> dict[str, Any]:
    """Fields of a status: what the frames of a day took."""
    return {"day": day, "day_energy": {"nvml": Figures(1, joules).to_dict()}, **more}


def bill(client: RedisClient) -> list[tuple[str, float]]:
    return [(line.day, line.figures.joules) for line in StreamStore(client).bill()["gate"]]


def over(client: RedisClient) -> list[str]:
    """The days that are over."""
    days: Any = client.hkeys(KEYS.bill)
    return sorted(day.decode() for day in days)


def test_days_are_those_of_utc() -> None:
    assert [day_of(1_790_000_000 + hours * 3600) for hours in (0, 12)] == ["2026-09-21", "2026-09-22"]


def test_the_day_that_runs_is_on_the_bill_as_far_as_it_is_known(client: RedisClient, log: ResultLog) -> None:
    assert bill(client) == []
    log.append(1, 0, ["a"], took(None, 0.0))
    assert bill(client) == []
    log.append(1, 1, ["b"], took("2026-11-30", 1.0))
    log.append(1, 2, ["c"], took("2026-11-30", 2.5))
    assert bill(client) == [("2026-11-30", 2.5)]
    assert over(client) == []


def test_a_day_that_is_over_is_kept_whole_when_the_next_begins(client: RedisClient, log: ResultLog) -> None:
    log.append(1, 0, ["a"], took("2026-11-30", 1.0))
    log.settle(1, ["{}"], took("2026-11-30", 3.0))
    log.settle(1, ["{}"], took("2026-12-01", 0.25))
    log.append(1, 1, ["b"], took("2026-12-01", 0.5))
    log.append(1, 2, ["c"], took("2026-12-03", 7.0))
    assert over(client) == ["2026-11-30", "2026-12-01"]
    assert bill(client) == [("2026-11-30", 3.0), ("2026-12-01", 0.5), ("2026-12-03", 7.0)]
    line = StreamStore(client).bill()["gate"][0]
    assert line == Line("2026-11-30", "gate", "nvml", Figures(1, 3.0))


def test_what_is_sent_again_counts_once(client: RedisClient, log: ResultLog) -> None:
    log.append(1, 0, ["a"], took("2026-11-30", 1.0))
    for _ in range(2):
        log.append(1, 1, ["b"], took("2026-12-01", 2.0))
    log.append(1, 0, ["a"], took("2026-11-30", 1.0))
    assert bill(client) == [("2026-11-30", 1.0), ("2026-12-01", 2.0)]


def test_the_oldest_days_go(client: RedisClient, log: ResultLog) -> None:
    first = date(2026, 11, 1)
    days = [(first + timedelta(days=number)).isoformat() for number in range(DAYS_KEPT + 4)]
    for number, day in enumerate(days):
        log.append(1, number, ["a"], took(day, float(number)))
    assert over(client) == days[3:-1]
    assert len(over(client)) == DAYS_KEPT


def test_who_has_lost_the_stream_ends_no_day(client: RedisClient, log: ResultLog) -> None:
    log.append(1, 0, ["a"], took("2026-11-30", 1.0))
    client.hset(KEYS.last, "token", "2")
    with pytest.raises(FencedError):
        log.append(1, 1, ["b"], took("2026-12-01", 9.0))
    with pytest.raises(FencedError):
        log.settle(1, ["{}"], took("2026-12-01", 9.0))
    assert bill(client) == [("2026-11-30", 1.0)]
    assert over(client) == []


def test_a_stream_that_is_removed_takes_its_days_with_it(client: RedisClient, log: ResultLog) -> None:
    log.append(1, 0, ["a"], took("2026-11-30", 1.0))
    log.append(1, 1, ["b"], took("2026-12-01", 1.0))
    StreamStore(client).remove("gate")
    assert not client.exists(KEYS.bill)
    assert StreamStore(client).bill() == {}
