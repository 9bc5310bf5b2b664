"""The bill: what streams took in joules, kWh and money, day by day."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from itertools import chain
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from workers.contract.bill import Figures, Line
from workers.contract.stream_store import StreamStore
from workers.gateway.connections import Connections
from workers.gateway.problems import responses
from workers.settings.schema import GatewaySettings

JOULES_PER_KWH = 3.6e6

_COLUMNS = (
    "day", "stream", "method", "frames", "joules", "kwh", "money", "currency", "saved_joules", "saved_kwh",
    "saved_money",
)  # fmt: skip
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "A line per day, stream and method.", "content": {"text/csv": {}}}
}
Day = Annotated[date | None, Query(description="UTC, inclusive; without it all days that are kept.")]


class Entry(BaseModel):
    """A sum of the bill; null where it is not known, or for all days, streams or methods."""

    day: str | None = Field(default=None, description="UTC.")
    stream: str | None = None
    method: str = Field(description="How joules were found. Those of different methods are never added up.")
    frames: int
    joules: float = Field(description="What these frames took, audits included.")
    kwh: float
    money: float | None = Field(description="At the price of now; null without one.")
    saved_joules: float | None = Field(
        description="What they would have cost more in full, measured against the stream's own such frames."
    )
    saved_kwh: float | None
    saved_money: float | None


class Bill(BaseModel):
    """What streams that are there took. A stream that is removed takes its days with it."""

    price_per_kwh: float | None
    currency: str | None
    lines: list[Entry] = Field(description="Per day, stream and method, the oldest first.")
    streams: list[Entry] = Field(description="Per stream and method, over all days.")
    days: list[Entry] = Field(description="Per day and method, over all streams.")
    total: list[Entry] = Field(description="Per method.")
    unmetered: list[str] = Field(description="Streams of which no energy is known in these days.")


def bill_routes(settings: GatewaySettings, connections: Connections) -> APIRouter:
    """The routes of the bill."""
    router = APIRouter(prefix="/v1", tags=["bill"])

    async def look_up(since: date | None, until: date | None) -> dict[str, list[Line]]:
        found = await connections.call(lambda client: StreamStore(client).bill())
        return {
            stream: [line for line in lines if _within(line.day, since, until)]
            for stream, lines in found.items()
        }

    @router.get("/bill", responses=responses(401, 503))
    async def bill(since: Day = None, until: Day = None) -> Bill:
        """What streams took, per day, stream and method, and in sums."""
        found = await look_up(since, until)
        lines = list(chain.from_iterable(found.values()))
        return Bill(
            price_per_kwh=settings.price_per_kwh,
            currency=settings.currency,
            lines=_sums(lines, settings, lambda line: (line.day, line.stream)),
            streams=_sums(lines, settings, lambda line: (None, line.stream)),
            days=_sums(lines, settings, lambda line: (line.day, None)),
            total=_sums(lines, settings, lambda _: (None, None)),
            unmetered=[stream for stream, lines in found.items() if not lines],
        )

    @router.get("/bill.csv", response_class=Response, responses=_CSV | responses(401, 503))
    async def table(since: Day = None, until: Day = None) -> Response:
        """The same as a table, a line per day, stream and method; what is not known is left empty."""
        lines = chain.from_iterable((await look_up(since, until)).values())
        sums = _sums(lines, settings, lambda line: (line.day, line.stream))
        return as_csv([entry.model_dump() for entry in sums], settings.currency)

    return router


def as_csv(lines: Iterable[Mapping[str, Any]], currency: str | None) -> Response:
    """Lines of a bill as a table to keep."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS)
    writer.writeheader()
    for line in lines:
        writer.writerow({**line, "currency": currency})
    headers = {"Content-Disposition": 'attachment; filename="vwt-bill.csv"', "Cache-Control": "no-store"}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


def _within(day: str, since: date | None, until: date | None) -> bool:
    # ISO dates are in the order of their texts.
    return (since is None or since.isoformat() <= day) and (until is None or day <= until.isoformat())


def _sums(
    lines: Iterable[Line],
    settings: GatewaySettings,
    of: Callable[[Line], tuple[str | None, str | None]],
) -> list[Entry]:
    """Sums of the lines by the day and stream that `of` gives, and by method; in order."""
    sums: dict[tuple[str | None, str | None, str], Figures] = {}
    for line in lines:
        key = (*of(line), line.method)
        sums[key] = sums.get(key, Figures()).plus(line.figures)
    ordered = sorted(sums.items(), key=lambda item: tuple(part or "" for part in item[0]))
    return [_entry(*key, figures, settings.price_per_kwh) for key, figures in ordered]


def _entry(day: str | None, stream: str | None, method: str, figures: Figures, price: float | None) -> Entry:
    kwh = figures.joules / JOULES_PER_KWH
    saved = None if figures.saved_joules is None else figures.saved_joules / JOULES_PER_KWH
    return Entry(
        day=day,
        stream=stream,
        method=method,
        frames=figures.frames,
        joules=figures.joules,
        kwh=kwh,
        money=None if price is None else kwh * price,
        saved_joules=figures.saved_joules,
        saved_kwh=saved,
        saved_money=None if price is None or saved is None else saved * price,
    )
