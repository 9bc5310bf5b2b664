"""What several cells say of the same, as one answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = dict[str, Any]


def events(pages: Sequence[Json]) -> Json:
    """A page of the events of all, newest first: as far back as the page of every cell goes."""
    # A cell says where its page ends, unless there is nothing before it.
    ends = [page["next"] for page in pages if page["next"] is not None]
    end = max(ends, default=None)
    found = [one for page in pages for one in page["events"] if end is None or one["noted_at"] >= end]
    return {"events": sorted(found, key=lambda one: -one["noted_at"]), "next": end}


def bill(bills: Sequence[Json]) -> Json:
    """The sums of all; of a price that is not the same everywhere none is told."""
    lists = ("lines", "streams", "unmetered")
    whole: Json = {name: [entry for one in bills for entry in one[name]] for name in lists}
    whole["lines"].sort(key=lambda entry: entry["day"])
    for name in ("price_per_kwh", "currency"):
        told = {one[name] for one in bills}
        whole[name] = told.pop() if len(told) == 1 else None
    whole["days"] = _sums(entry for one in bills for entry in one["days"])
    whole["total"] = _sums(entry for one in bills for entry in one["total"])
    return whole


def _sums(entries: Iterable[Mapping[str, Any]]) -> list[Json]:
    sums: dict[tuple[str, str], Json] = {}
    for entry in entries:
        key = (entry["day"] or "", entry["method"])
        sums[key] = _added(sums[key], entry) if key in sums else dict(entry)
    return [sums[key] for key in sorted(sums)]


def _added(one: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    """Two lines of the same day and method; what is not known of one is not known of both."""
    figures = {name for name in one if name not in ("day", "stream", "method")}
    return dict(one) | {
        name: None if one[name] is None or other[name] is None else one[name] + other[name]
        for name in figures
    }
