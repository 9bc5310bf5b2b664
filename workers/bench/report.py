"""The figures of a benchmark: as the JSON that programs read, and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from pipeline.fidelity import FidelityFigures, Point, compute_for
from workers.bench.measure import Measured

TARGETS = (0.95, 0.98, 0.99)
_SPREAD = (0.25, 0.75)


def method_figures(measured: Sequence[Measured], metered: bool, cuda: bool) -> list[dict[str, Any]]:
    """One object per arm, for `methods` of a clip.

    Args:
        measured: of one clip, the full model first.
        metered: whether joules come from a counter.
        cuda: whether the model ran on a GPU, where the time of the CPU says little.
    """
    full = measured[0]
    found = [_figures(one, full, metered, cuda) for one in measured]
    for figures in found:
        points = [
            Point(other["share"], other["cosine_p5"]) for other in found if line_of(other) == line_of(figures)
        ]
        figures["compute_for"] = {f"{target:g}": _rounded(compute_for(points, target)) for target in TARGETS}
    return found


def line_of(figures: Mapping[str, Any]) -> str:
    """The method an arm is a setting of: its name, and the switches that are on. Numbers are its settings."""
    options = figures["options"].items()
    words = [value if isinstance(value, str) else name for name, value in options if _is_word(value)]
    return " ".join([figures["tokenizer"], *words])


def named(figures: Mapping[str, Any]) -> str:
    """How a table names an arm: its method and its numbers, and a star for controls."""
    numbers = [f"{name} {value:.3g}" for name, value in figures["options"].items() if not _is_word(value)]
    return " ".join([line_of(figures), *numbers]) + (" *" if figures["control"] else "")


def _is_word(value: object) -> bool:
    return value is True or isinstance(value, str)


def _figures(one: Measured, full: Measured, metered: bool, cuda: bool) -> dict[str, Any]:
    fidelity: FidelityFigures = one.fidelity.figures()
    cpu, wall = (_ratio(a, b) for a, b in ((one.cpu_s, full.cpu_s), (one.wall_s, full.wall_s)))
    return {
        "tokenizer": one.arm.method,
        "options": dict(one.arm.options),
        "control": one.arm.control,
        "share": _rounded(one.flops / full.flops),
        "tokens_share": _rounded(one.tokens / full.tokens) if full.tokens else None,
        "time_ratio": (wall if cuda else cpu)["total"],
        "time": {"cpu": None if cuda else cpu, "wall": wall},
        "joules_per_frame": _rounded(one.joules / fidelity.frames, 6)
        if metered and one.joules is not None
        else None,
        **{
            name: _rounded(getattr(fidelity, name), 5)
            for name in (
                "cosine_mean",
                "cosine_p5",
                "cosine_min",
                "change",
                "patch_cosine",
                "agreement",
                "kl",
            )
        },
        "saliency_error": _rounded(fidelity.saliency_error, 5),
    }


def _ratio(ours: Sequence[float], full: Sequence[float]) -> dict[str, float | None]:
    """Of all time, and the spread of the paired ratios of batches."""
    paired = [a / b for a, b in zip(ours, full, strict=True) if b > 0]
    quartiles = statistics.quantiles(paired, n=4) if len(paired) > 1 else None
    return {
        "total": _rounded(sum(ours) / sum(full)) if sum(full) > 0 else None,
        "median": _rounded(statistics.median(paired)) if paired else None,
        "p25": _rounded(quartiles[0]) if quartiles else None,
        "p75": _rounded(quartiles[2]) if quartiles else None,
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(value, digits)


def table(name: str, clip: Mapping[str, Any], report: Mapping[str, Any]) -> Table:
    """What people read of a clip: a line per arm, controls behind the tokenizers."""
    methods = clip["methods"]
    judged, first, (before, after) = clip["frames"], clip["warm_up"]["frames"], clip["load"]
    runs_on = " ".join(report[name] for name in ("model", "precision", "runtime", "device"))
    title = (
        f"{name}: {judged} frames at {report['fps']:g} fps after {first} of warm-up, "
        f"batch {report['batch']}, {runs_on}, {report['fit']} {report['size'][0]}x{report['size'][1]}"
    )
    caption = f"full: {clip['full_ms']:.1f} ms a frame; load {before:g} to {after:g}; * controls"
    classifies = any(figures["kl"] is not None for figures in methods)
    detects = not classifies and any(figures["agreement"] is not None for figures in methods)
    columns = [
        "method",
        "tokens",
        "FLOPs",
        f"{'CPU time' if report['device'] == 'cpu' else 'time'}\n(quartiles)",
        "wall",
        "cosine\nmean/p5/min",
        "change",
        "patch\ncosine",
        "same top 1\n(KL)" if classifies else "same boxes\n(F1)" if detects else "saliency\nerror",
        f"FLOPs for p5\n{'/'.join(_short(target) for target in TARGETS)}",
        *(["J/frame"] if report["energy"] else []),
    ]
    shown = Table(
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        shown.add_column(column, justify="left" if column == "method" else "right", no_wrap=True)
    line = None
    for figures in methods:
        begins, line = line_of(figures) != line, line_of(figures)
        shown.add_row(
            *_cells(figures, begins, classifies, bool(report["energy"])),
            style="dim" if figures["control"] else None,
        )
    return shown


def _cells(figures: Mapping[str, Any], first: bool, classifies: bool, energy: bool) -> list[str]:
    """A line of the table; what holds for all settings of a method is in its first one."""
    time = figures["time"]["cpu"] or figures["time"]["wall"]
    answer = _short(figures["saliency_error"] if figures["agreement"] is None else figures["agreement"])
    if classifies:
        answer = f"{_short(figures['agreement'])} ({_short(figures['kl'])})"
    needs = [figures["compute_for"][f"{target:g}"] for target in TARGETS] if first else []
    return [
        named(figures),
        _short(figures["tokens_share"]),
        _short(figures["share"]),
        f"{_short(figures['time_ratio'])} ({_short(time['p25'])}-{_short(time['p75'])})",
        _short(figures["time"]["wall"]["total"]),
        "/".join(_short(figures[f"cosine_{what}"], 3) for what in ("mean", "p5", "min")),
        _short(figures["change"]),
        _short(figures["patch_cosine"], 3),
        answer,
        "/".join(_short(need) for need in needs),
        *([f"{figures['joules_per_frame']:.3g}"] if energy else []),
    ]


def _short(value: float | None, digits: int = 2) -> str:
    """A figure without the zero in front: .98; a plain 1; a dash where it is not known."""
    if value is None:
        return "-"
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else "1" if float(text) == 1 else text
