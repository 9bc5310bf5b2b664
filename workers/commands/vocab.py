"""`vwt vocab`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.defaults import DEFAULT_MODEL, DEFAULT_WORDS


@click.group(short_help="Visual words: learn them from sources, look at a file of them.")
def vocab() -> None:
    """Learn visual words from sources, and look at a file of them."""


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
    frames: int,
    fps: float | None,
    max_frames: int | None,
    seed: int,
) -> None:
    """Learn visual words from SOURCES for `vwt run --vocab`."""
    from rich.console import Console

    from pipeline.sinks.output import check_output
    from workers.notices import Notices
    from workers.vocabulary import learn_from_sources

    check_output(out, "--out")
    notices = Notices(Console(stderr=True), quiet=False)
    learned = learn_from_sources(sources, words, model, notices, frames, fps, max_frames, seed)
    learned.vocabulary.save(out)
    click.echo(
        f"learned {len(learned.vocabulary)} words of patch size {learned.vocabulary.patch_size} "
        f"from {learned.frames} of {learned.seen} frames: {out}",
        err=True,
    )


@vocab.command(short_help="Look at a file of words.")
@click.argument("path", type=click.Path(path_type=Path))
def show(path: Path) -> None:
    """Say what the vocabulary in PATH holds."""
    from vocab.words import Vocabulary

    vocabulary = Vocabulary.load(path)
    scale = vocabulary.normalisation
    click.echo(f"words       {len(vocabulary)}")
    click.echo(f"patch size  {vocabulary.patch_size}")
    click.echo(f"version     {vocabulary.version}")
    click.echo(f"normalised  {'not recorded' if scale is None else f'mean {scale.mean}, std {scale.std}'}")
