"""What a run came to, for people and for programs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.outputs.files import open_output, write_all, write_failure
from pipeline.stats import RunStats

_NAME_WIDTH = 13


def print_summary(
    stats: RunStats, console: Console, energy_description: str | None = None, outputs: Sequence[str] = ()
) -> None:
    """Prints a small table: a name and what came of it per line.

    Args:
        stats: of the finished run.
        console: where to; keep standard output free where results go there.
        energy_description: how energy was metered, in words ("estimate: CPU time x 5 W per core").
        outputs: paths that were written.
    """
    for name, text in [*_rows(stats, energy_description), *(("wrote", path) for path in outputs)]:
        # Never wrapped: a path is there to be copied, and a line of a log to be searched.
        console.print(Text.assemble((name.ljust(_NAME_WIDTH), "bold"), text), soft_wrap=True)


def write_json_summary(stats: RunStats, path: str | Path, extra: Mapping[str, Any]) -> None:
    """Writes `stats.to_dict()` and `extra` beside it (settings, source, outputs) as one JSON object.

    Args:
        stats: of the finished run.
        path: a file, replaced; "-" is standard output.
        extra: further keys; they come first and must not repeat a key of the statistics.

    Raises:
        UsageError: when `path` cannot be opened.
        VwtError: when it cannot be written.
    """
    text = json.dumps({**extra, **stats.to_dict()}, indent=2, allow_nan=False) + "\n"
    fd = open_output(path, "--json-summary")
    try:
        write_all(fd, text.encode())
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        os.close(fd)


def _rows(stats: RunStats, energy_description: str | None) -> list[tuple[str, str]]:
    if not stats.frames:
        return [("frames", "0"), *_drops(stats)]
    rows = [("frames", f"{stats.frames} in {stats.wall_s:.1f} s{_rate(stats)}")]
    if stats.kept_share is not None:
        rows.append(("tokens kept", f"{100 * stats.kept_share:.1f} %{_warm_up(stats)}"))
    if stats.last is not None and stats.last.computed.runtime is not None:
        rows.append(("computed in", "{1}, {0}".format(*stats.last.computed)))
    rows.append(("energy", _energy(stats, energy_description)))
    rows.append(("latency", _quantiles(stats.total_ms(0.5), stats.total_ms(0.99))))
    rows.append(("inference", _quantiles(stats.infer_ms(0.5), stats.infer_ms(0.99))))
    if stats.versions is not None:
        first, last, count = stats.versions
        rows.append(("vocabulary", f"version {last}" if count == 1 else f"versions {first} to {last}"))
    return [*rows, *_drops(stats)]


def _rate(stats: RunStats) -> str:
    return "" if stats.fps is None else f", {stats.fps:.1f} frames/s"


def _warm_up(stats: RunStats) -> str:
    if not stats.warm_up_frames:
        return ""
    return f" ({stats.warm_up_frames} warm-up frames before the first vocabulary included)"


def _energy(stats: RunStats, description: str | None) -> str:
    energy = stats.energy_summary()
    if energy.joules_per_frame is None:
        return f"unknown: {energy.reason}"
    parts = [f"{energy.joules_per_frame:.3g} J/frame"]
    if energy.above_idle_joules_per_frame is not None:
        parts.append(f"{energy.above_idle_joules_per_frame:.3g} J above idle")
    if energy.frames < stats.frames:
        parts.append(f"known for {energy.frames} of {stats.frames} frames")
    if energy.settled_share is not None and energy.settled_share < 1:
        parts.append(f"{100 * energy.settled_share:.0f} % settled")
    if energy.reason is not None:
        parts.append(energy.reason)
    return f"{', '.join(parts)} ({description or energy.method})"


def _quantiles(p50: float | None, p99: float | None) -> str:
    return "unknown" if p50 is None or p99 is None else f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _drops(stats: RunStats) -> list[tuple[str, str]]:
    drops = ", ".join(f"{count} {reason}" for reason, count in sorted(stats.dropped.items()))
    return [("dropped", drops)] if drops else []
