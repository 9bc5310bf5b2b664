"""The frontier as a picture: fidelity over what is computed, a line per method, a panel per clip."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.outputs.files import check_output
from workers.bench.report import line_of

# Those of matplotlib without its grey, which is for controls.
_COLOURS = [f"C{number}" for number in range(10) if number != 7]
_MARKS = "osD^vPX*<>ph"


def check_plot(path: Path) -> None:
    """Refuses before anything slow a picture that could not be written.

    Raises:
        UsageError: it cannot be written, its ending is none of pictures, or matplotlib is not installed.
    """
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise UsageError(f"--plot {path}: give a name that ends in .png, .svg or .pdf")
    check_output(path, "--plot")
    if find_spec("matplotlib") is None:
        raise UsageError("--plot draws with matplotlib: pip install 'vwt-stream[bench]'")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the 5th percentile of the cosine, and the change score below, over the share of operations.

    Args:
        report: as `--json` writes it.
        path: the picture.
    """
    from matplotlib.figure import Figure

    clips = report["clips"]
    figure = Figure(figsize=(5.2 * len(clips) + 1.8, 8.2), layout="constrained")
    axes = figure.subplots(2, len(clips), squeeze=False, sharex=True)
    for column, (name, clip) in enumerate(clips.items()):
        for row, (what, title) in enumerate((("cosine_p5", "cosine p5"), ("change", "change score"))):
            panel = axes[row][column]
            for number, (method, settings) in enumerate(groupby(clip["methods"], key=line_of)):
                points = list(settings)
                known = [(x["share"], x[what]) for x in points if x[what] is not None]
                if not known:
                    continue
                control = points[0]["control"]
                panel.plot(
                    *zip(*sorted(known), strict=True),
                    marker=_MARKS[number % len(_MARKS)],
                    markersize=5,
                    linewidth=1.2,
                    linestyle="--" if control else "-",
                    color="0.45" if control else _COLOURS[number % len(_COLOURS)],
                    label=method,
                )
            panel.set_title(f"{name} ({clip['frames']} frames)" if row == 0 else "")
            panel.set_ylabel(title if column == 0 else "")
            panel.set_xlabel("share of the full model's operations" if row == 1 else "")
            panel.grid(alpha=0.25)
            if what == "cosine_p5":
                panel.axhline(0.98, color="0.7", linewidth=0.8)
                panel.set_ylim(bottom=max(panel.get_ylim()[0], 0.6), top=1.003)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize="small")
    figure.suptitle(f"{report['model']}, {report['precision']}, {report['runtime']}, dashed: controls")
    figure.savefig(path, dpi=130)
