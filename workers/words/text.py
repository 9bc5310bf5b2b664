"""The report of `vwt vocab show` for people: a few lines and two tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from workers.words.report import NO_USAGE, Report, Usage

_NAME_WIDTH = 12
_ROWS = 12
_LEVELS = "▁▂▃▄▅▆▇█"
_BARS = 64
# Less than this between the lowest and the highest share is not drawn as if it were much.
_LEAST_RANGE = 0.1


def print_report(report: Report, console: Console, now: float) -> None:
    """Prints the report for a person; `now` is Unix seconds, for ages."""
    for name, text in _rows(report, ascii_only=console.options.ascii_only):
        console.print(Text.assemble((name.ljust(_NAME_WIDTH), "bold"), text), soft_wrap=True)
    if report.versions:
        table = _table(
            "Newest versions that can be loaded", "version", "words", "patch size", "published", ""
        )
        for info in report.versions[-_ROWS:]:
            current = "current" if info.version == report.vocabulary.version else ""
            age = f"{_span(now - info.published_at)} ago"
            table.add_row(str(info.version), str(info.words), str(info.patch_size), age, current)
        console.print(table)
    if report.history:
        table = _table("Newest checks of the window", "time", "version", "matched", "mean distance")
        for record in report.history[-_ROWS:]:
            cover = record.coverage
            time = datetime.fromtimestamp(record.at).strftime("%Y-%m-%d %H:%M:%S")
            distance = "none matched" if cover.distance is None else f"{cover.distance:.4f}"
            table.add_row(time, str(record.version), _percent(cover.matched), distance)
        console.print(table)


def _rows(report: Report, ascii_only: bool) -> Iterator[tuple[str, str]]:
    vocabulary, scale = report.vocabulary, report.vocabulary.normalisation
    yield "words", str(len(vocabulary))
    yield "patch size", str(vocabulary.patch_size)
    yield "version", str(vocabulary.version)
    yield "normalised", "not recorded" if scale is None else f"mean {scale.mean}, std {scale.std}"
    if report.history is None:
        return
    record = report.newest_record
    if record is None:
        yield "usage", f"unknown: {NO_USAGE}"
    else:
        usage = Usage.of(record)
        yield "usage", f"{usage.used} words matched {usage.matched} patches, {usage.unused} words none"
        if usage.top is not None:
            tops = (f"the top {percent} % took {_percent(share)}" for percent, share in usage.top.items())
            yield "", f"of these patches {', '.join(tops)}"
    if report.history:
        shares = [record.coverage.matched for record in report.history[-_BARS:]]
        span = f"{_percent(min(shares))} to {_percent(max(shares))} in {len(shares)} checks"
        yield "matched", span if ascii_only else f"{_sparkline(shares)} {span}"


def _sparkline(shares: list[float]) -> str:
    low = min(shares)
    span = max(max(shares) - low, _LEAST_RANGE)
    return "".join(_LEVELS[round((share - low) / span * (len(_LEVELS) - 1))] for share in shares)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _span(seconds: float) -> str:
    """A time span to two figures or so; clocks of two machines may differ, so it is never below 0."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for column in columns:
        table.add_column(column, no_wrap=True, justify="right" if column else "left")
    return table
