"""`vwt vocab`."""

from __future__ import annotations

import time
from pathlib import Path

import click
from click.core import ParameterSource

from pipeline.defaults import DEFAULT_MODEL, DEFAULT_WORDS
from workers.commands.input_options import input_options


@click.group(short_help="Visual words: learn them from sources, look at them.")
def vocab() -> None:
    """Learn visual words from sources, and look at them."""


@vocab.command(short_help="Learn words from sources.")
@click.argument("sources", nargs=-1, required=True)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write (.safetensors)."
)
@click.option(
    "--words", type=click.IntRange(min=1), default=DEFAULT_WORDS, show_default=True, help="How many."
)
@click.option(
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="NAME",
    help="Model they are for: its input size, patch size and normalisation.",
)
@input_options("as suits the model")
@click.option(
    "--frames",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Frames to learn from, drawn evenly over all sources.",
)
@click.option(
    "--fps", type=click.FloatRange(min=0, min_open=True), help="Sample this many frames per second first."
)
@click.option("--max-frames", type=click.IntRange(min=1), help="Look at no more frames than this per source.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random draws.")
def learn(
    sources: tuple[str, ...],
    out: Path,
    words: int,
    model: str,
    fit: str | None,
    size: str | None,
    frames: int,
    fps: float | None,
    max_frames: int | None,
    seed: int,
) -> None:
    """Learn visual words from SOURCES for `vwt run --vocab`."""
    from rich.console import Console

    from pipeline.outputs.files import check_output
    from workers.notices import Notices
    from workers.words.learn import learn_from_sources

    check_output(out, "--out")
    notices = Notices(Console(stderr=True), quiet=False)
    learned = learn_from_sources(
        sources, words, model, notices, frames, fps, max_frames, seed, fit=fit, size=size
    )
    learned.vocabulary.save(out)
    click.echo(
        f"learned {len(learned.vocabulary)} words of patch size {learned.vocabulary.patch_size} "
        f"from {learned.frames} of {learned.seen} frames: {out}",
        err=True,
    )


@vocab.command(short_help="Look at words: a file, or a scope in Redis.")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--redis", envvar="VWT_REDIS", metavar="URL", help="Look at what lives in this Redis.")
@click.option("--scope", metavar="NAME", help="With --redis: whose words.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a picture of all words (.png), the most used first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def show(
    context: click.Context,
    path: Path | None,
    redis: str | None,
    scope: str | None,
    sheet: Path | None,
    as_json: bool,
) -> None:
    """Say what the vocabulary in PATH holds, or the one that a scope has in Redis, and how it is used."""
    from pipeline.errors import UsageError
    from pipeline.outputs.files import STDOUT, check_output

    if path is not None and context.get_parameter_source("redis") is ParameterSource.ENVIRONMENT:
        redis = None  # what is set for every command gives way to what was typed for this one
    in_file, in_redis = path is not None, redis is not None and scope is not None
    if in_file == in_redis or (in_file and (redis or scope)):
        raise UsageError("say whose words to show: the PATH of a file, or --redis URL and --scope NAME")
    if sheet is not None:
        if str(sheet) == STDOUT or (path is not None and sheet.resolve() == path.resolve()):
            raise UsageError(f"cannot write --sheet {sheet}: give it a file of its own")
        check_output(sheet, "--sheet")

    from rich.console import Console

    from workers.words.report import read_file, read_scope, to_json, write_sheet
    from workers.words.text import print_report

    if path is not None:
        report = read_file(path)
    else:
        assert redis is not None
        assert scope is not None
        report = read_scope(redis, scope)
    if sheet is not None:
        write_sheet(report, sheet)
    if as_json:
        click.echo(to_json(report, time.time()))
    else:
        print_report(report, Console(), time.time())
