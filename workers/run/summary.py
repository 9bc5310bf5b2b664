"""What a run came to, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.guard.guarded import Guarded
from pipeline.outputs.files import write_json
from pipeline.results import RANDOM_WEIGHTS
from pipeline.sources import Decoding
from pipeline.stats import RunStats
from pipeline.stats.savings import saving_text

_NAME_WIDTH = 13
# How frames were answered, as somebody new may read it; the words in brackets are those of results.
_DECIDED = {
    "hold": "as the frame before (hold)",
    "recall": "where they changed (recall)",
    "merged": "with alike patches merged",
    "escalated": "in full after all (escalated)",
    "full": "in full",
}


def print_summary(
    stats: RunStats,
    console: Console,
    energy_description: str | None = None,
    outputs: Sequence[str] = (),
    guarded: Guarded | None = None,
    decoding: Decoding | None = None,
    events: str | None = None,
) -> None:
    """Prints a small table: a name and what came of it per line.

    Args:
        stats: of the finished run.
        console: where to; keep standard output free where results go there.
        energy_description: how energy was metered, in words ("estimate: CPU time x 5 W per core").
        outputs: paths that were written.
        guarded: what was found out about the answers.
        decoding: what of the source was decoded, shown where less than all was asked for.
        events: what rules made of the results; None without rules.
    """
    watched = () if guarded is None else _watched(stats, guarded)
    happened = [] if events is None else [("events", events)]
    rows = [*happened, *_rows(stats, energy_description), *watched, *_decoded(decoding)]
    print_rows(console, [*rows, *(("wrote", path) for path in outputs)])


def print_rows(console: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Prints a name and what there is to say of it per line."""
    for name, text in rows:
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
    write_json({**extra, **stats.to_dict()}, path, "--json-summary")


def _decoded(decoding: Decoding | None) -> Iterator[tuple[str, str]]:
    if decoding is not None and (decoding.how != "all" or decoding.reason is not None):
        why = "" if decoding.reason is None else f": {decoding.reason}"
        yield "decoded", f"{decoding.decoded} of {decoding.frames} frames ({decoding.how}){why}"


def _rows(stats: RunStats, energy_description: str | None) -> list[tuple[str, str]]:
    if not stats.frames:
        return [("frames", "0"), *_drops(stats)]
    rows = [("frames", f"{stats.frames} in {stats.wall_s:.1f} s{_rate(stats)}")]
    # What the clip shows comes before how it was found out, and what that took.
    predicted = stats.predictions.text()
    if predicted is not None:
        rows.append(("seen", predicted))
    rows += stats.scene.texts()
    if stats.last is not None and stats.last.weights == RANDOM_WEIGHTS:
        rows.append(("weights", "random: what was predicted means nothing"))
    if stats.kept_share is not None:
        rows += _phases(stats)
    if stats.decisions:
        counted = (f"{count} {_DECIDED.get(name, name)}" for name, count in stats.decisions.most_common())
        rows.append(("answered", ", ".join(counted)))
    if stats.last is not None and stats.last.computed.runtime is not None:
        rows.append(("computed in", "{1}, {0}".format(*stats.last.computed)))
    rows.append(("energy", _energy(stats, energy_description)))
    rows.append(("latency", _quantiles(stats.total_ms(0.5), stats.total_ms(0.99))))
    rows.append(("inference", _quantiles(stats.infer_ms(0.5), stats.infer_ms(0.99))))
    if stats.versions is not None:
        first, last, count = stats.versions
        rows.append(("vocabulary", f"version {last}" if count == 1 else f"versions {first} to {last}"))
    return [*rows, *_drops(stats)]


def _watched(stats: RunStats, guarded: Guarded) -> Iterator[tuple[str, str]]:
    if guarded.fidelity.audits:
        joules = stats.audit_joules
        yield "audits", guarded.fidelity.text() + ("" if joules is None else f", {joules:.3g} J")
        saved = stats.savings.to_dict()
        if saved is not None:
            yield "saved", saving_text(saved)
    if guarded.guard is not None:
        yield "guard", guarded.guard.text()


def _rate(stats: RunStats) -> str:
    return "" if stats.fps is None else f", {stats.fps:.1f} frames/s"


def _phases(stats: RunStats) -> list[tuple[str, str]]:
    rows = []
    if stats.warm_up.frames:
        joules = stats.warm_up.joules(0.5)
        each = "" if joules is None else f", {joules:.3g} J each (median)"
        rows.append(("warm-up", f"{stats.warm_up.frames} frames in full until there were words{each}"))
    if stats.steady.frames:
        rows.append(("steady", ", ".join(_steady(stats))))
    return rows


def _steady(stats: RunStats) -> Iterator[str]:
    steady, saving = stats.steady, stats.saving()
    yield f"{steady.frames} frames"
    if steady.kept_share is not None:
        yield f"{100 * steady.kept_share:.1f} % of tokens kept"
    if steady.share is not None:
        yield f"{100 * steady.share:.0f} % of the operations of full"
    if steady.mean_joules is not None:
        yield f"{steady.mean_joules:.3g} J each (mean)"
    if saving.mean is not None and saving.least is not None and saving.most is not None:
        less, least, most = (100 * saved for saved in (saving.mean, saving.least, saving.most))
        word = "less" if less >= 0 else "more"
        yield f"{abs(less):.0f} % {word} than in full (quartiles {least:.0f} to {most:.0f} % saved)"


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
