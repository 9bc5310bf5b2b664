"""`vwt bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.defaults import DEFAULT_MIN_SCORE, DEFAULT_MODEL, DEFAULT_WARMUP_FRAMES, DEFAULT_WORDS
from pipeline.runtimes import FP32
from workers.commands.computed_options import computed_options
from workers.commands.input_options import input_options


@click.command(short_help="What each tokenizer saves, and what it costs in fidelity.")
@click.argument("clips", nargs=-1, required=True, metavar="CLIP...")
@click.option(
    "--tokenizers",
    metavar="LIST",
    help="Such as inter,merge:r=8,inter:count-sizes=1; a knob that is not set is tried at several values.  "
    "[default: all that the model takes]",
)
@click.option("--model", default=DEFAULT_MODEL, metavar="NAME", show_default=True, help="See `vwt models`.")
@click.option(
    "--weights",
    metavar="FILE",
    help="A .safetensors or .pth file, or of a detector hf-hub:OWNER/NAME; `random` for none (speed only).",
)
@computed_options(FP32)
@input_options("as suits the model")
@click.option(
    "--fps",
    type=click.FloatRange(min=0, min_open=True),
    default=5.0,
    show_default=True,
    help="Frames per second of presentation time to judge.",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Frames that run together."
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=DEFAULT_MIN_SCORE,
    show_default=True,
    help="Score that a box of a detector has at least, of those that are compared.",
)
@click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."
)
@click.option(
    "--max-frames", type=click.IntRange(min=2), default=300, show_default=True, help="Judge at most so many."
)
@click.option(
    "--words", type=click.IntRange(min=1), default=DEFAULT_WORDS, show_default=True, help="Words to learn."
)
@click.option(
    "--warmup-frames",
    type=click.IntRange(min=1),
    default=DEFAULT_WARMUP_FRAMES,
    show_default=True,
    help="First frames to learn words from, at most a quarter of the clip; they are not judged.",
)
@click.option("--json", "json_path", metavar="FILE", help="Write the figures as JSON; - for standard output.")
@click.option("--plot", metavar="FILE", help="Draw fidelity over operations (.png, .svg, .pdf).")
@click.option("--quiet", is_flag=True, help="No progress and no table.")
def bench(
    clips: tuple[str, ...],
    tokenizers: str | None,
    json_path: str | None,
    plot: str | None,
    quiet: bool,
    **given: Any,
) -> None:
    """Hold every tokenizer against the plain model and the controls, on the same frames.

    CLIP is a file, or a clip that ships in a package: sample:bikes, sample:bunny, sample:carphone. All run in
    one process, frame by frame in turn, and are compared with the plain model of the same frame. Controls
    (marked *) are what anybody could do instead: a saving is worth something only where it beats them.
    """
    from rich.console import Console

    from pipeline.outputs.files import check_output, write_json
    from workers.bench.options import BenchOptions, asked_for
    from workers.bench.plot import check_plot
    from workers.bench.progress import BenchProgress
    from workers.notices import Notices
    from workers.threads import remember_more

    asked = None if tokenizers is None else asked_for(tokenizers)
    options = BenchOptions(clips=clips, tokenizers=asked, **given)
    if json_path is not None:
        check_output(json_path, "--json")
    if plot is not None:
        check_plot(Path(plot))
    console = Console(stderr=True)
    notices = Notices(console, quiet)
    remember_more()
    with notices.waiting("loading torch"):
        from workers.bench.report import table
        from workers.bench.run import run_bench

    progress = BenchProgress(console, quiet)
    with notices.above(progress):
        report = run_bench(options, progress, notices.say)
    if not quiet:
        shown = Console(stderr=json_path == "-")
        # Where lines are shorter than the table they wrap; nothing is cut.
        shown.width = max(shown.width, 132)
        for name, clip in report["clips"].items():
            shown.print(table(name, clip, report))
    if json_path is not None:
        write_json(report, json_path, "--json")
    if plot is not None:
        from workers.bench.plot import draw

        draw(report, Path(plot))
