"""Writes BENCHMARKS.md from the figures under benchmarks/results. `make benchmarks` measures, then runs this.

python -m benchmarks.document
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS
from benchmarks.sections import paragraphs
from workers.bench.report import TARGETS, line_of, named

TARGET = Path(__file__).parents[1] / "BENCHMARKS.md"
Row = Sequence[str]

_CONTROLS = """\
Interpolated between settings; where the cheapest setting tried keeps the target, its share, and it may
need less. `*` are controls, which anybody could do instead: `skip` answers one frame in n and repeats
the answer, `adaptive skip` answers when pixels changed by more than a threshold found in hindsight;
`random` drops patches at random."""
_NOT_SHOWN = """\
The clips are a few seconds long and none of them is a fixed camera: p5 over so few frames is uncertain
by about a hundredth. One model was judged. CPU time counts planning, encoder and head of a frame that
runs alone; decoding is not in it. The mean cosine flatters whoever repeats an old answer: read p5 and
`change` (the cosine between frame-to-frame differences of the answer and of the full model's)."""


def table(head: Row, rows: Sequence[Row]) -> str:
    """A table in Markdown; the first column is text."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def short(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def clip_table(methods: Sequence[Mapping[str, Any]]) -> str:
    """A line per setting of a clip."""
    head = [
        "method",
        "tokens",
        "FLOPs",
        "CPU time",
        "cosine mean",
        "p5",
        "change",
        "patches",
        "saliency error",
    ]
    rows = [
        [
            named(one),
            short(one["tokens_share"]),
            short(one["share"]),
            short(one["time_ratio"]),
            *(short(one[name], 3) for name in ("cosine_mean", "cosine_p5")),
            short(one["change"]),
            short(one["patch_cosine"], 3),
            short(one["saliency_error"]),
        ]
        for one in methods
    ]
    return table(head, rows)


def needs_table(clips: Mapping[str, Any]) -> str:
    """What each method computes to keep a 5th percentile, a line per method."""
    found: dict[str, list[str]] = {}
    for clip in clips.values():
        for line, settings in groupby(clip["methods"], key=line_of):
            one = next(settings)
            name = f"{line} *" if one["control"] else line
            needs = "/".join(short(one["compute_for"][f"{target:g}"]) for target in TARGETS)
            found.setdefault(name, []).append(needs)
    return table(["method", *clips], [[name, *needs] for name, needs in found.items() if name != "full"])


def document(bench: Mapping[str, Any]) -> Iterator[str]:
    """The paragraphs of the page."""
    machine, clips = bench["machine"], bench["clips"]
    loads = ", ".join(f"{name} {clip['load'][0]:g} to {clip['load'][1]:g}" for name, clip in clips.items())
    yield "# Benchmarks"
    yield "Made by `make benchmarks`; every table names its command. Change no figure by hand."
    yield "## Tokenizers and what doing without would give"
    yield (
        f"`vwt bench {' '.join(f'sample:{name}' for name in clips)}`, {bench['measured_at']}: "
        f"{bench['model']}, {bench['fit']} {'x'.join(map(str, bench['size']))}, "
        f"{bench['precision']}, {bench['runtime']}, {bench['device']} "
        f"({machine['processor']}, {machine['cores']} cores, torch {machine['torch']}), "
        f"{bench['fps']:g} frames per second, batch {bench['batch']}. "
        f"Load of the machine while it ran: {loads}."
    )
    yield "![Fidelity over operations, a line per method](docs/frontier.png)"
    yield f"Share of the plain model's operations needed for a cosine p5 of {' / '.join(map(str, TARGETS))}:"
    yield needs_table(clips)
    yield _CONTROLS
    for name, clip in clips.items():
        first = clip["warm_up"]["frames"]
        yield f"### {name}"
        yield f"{clip['frames']} frames judged, after {first} that visual words were learned from."
        yield clip_table(clip["methods"])
    yield "### What these figures do not show"
    yield _NOT_SHOWN


def main() -> None:
    bench = json.loads((RESULTS / "bench.json").read_text())
    others = paragraphs(lambda name: json.loads((RESULTS / name).read_text())["figures"], table)
    TARGET.write_text("\n\n".join([*document(bench), *others]) + "\n")
    print(f"written: {TARGET}")


if __name__ == "__main__":
    main()
