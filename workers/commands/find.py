"""`vwt find`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.history.find import DEFAULT_APART_S, DEFAULT_TOP
from workers.find.asked import Asked, point_in_time


@click.command(short_help="Find moments of streams again, by a picture or a text.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--like", type=click.Path(path_type=Path), metavar="PICTURE", help="Frames that look like this."
)
@click.option("--box", metavar="X,Y,W,H", help="With --like: only this part counts, in 0..1 of the picture.")
@click.option(
    "--text", metavar="TEXT", help='Frames that show this, such as "a red van"; of models beside text (CLIP).'
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --text: it is one of these labels (see `vwt labels`); needs no text tower.",
)
@click.option(
    "--text-model",
    metavar="NAME",
    help="With --text: open_clip's name of the tower.  [default: the model's own]",
)
@click.option("--text-weights", metavar="TAG|FILE", help="With --text-model: its weights.")
@click.option(
    "--since", metavar="TIME", help="From then on: seconds of a file, a date and time of a live source."
)
@click.option("--until", metavar="TIME", help="Before then.")
@click.option(
    "--stream", "streams", multiple=True, metavar="NAME", help="Only this one (may be given again)."
)
@click.option("--top", type=click.IntRange(1, 1000), default=DEFAULT_TOP, show_default=True, help="How many.")
@click.option(
    "--apart",
    type=click.FloatRange(min=0),
    default=DEFAULT_APART_S,
    show_default=True,
    help="Of frames nearer than so many seconds the best stands for all; 0 for every frame.",
)
@click.option(
    "--weights", metavar="FILE", help="Of the model, where they lie elsewhere now.  [default: as of the run]"
)
@click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON, one object a line.")
def find(
    folder: Path,
    since: str | None,
    until: str | None,
    streams: tuple[str, ...],
    top: int,
    apart: float,
    as_json: bool,
    **given: Any,
) -> None:
    """Find moments in FOLDER, which `vwt run SOURCE --index FOLDER` filled: the most alike first.

    Whole frames are compared: a scene, a place or a view is found again. A small thing in a large picture is
    only by --box, in what a fixed camera's run with --changed left (docs/find.md). The score is a cosine, 1
    for the same picture.
    """
    asked = Asked(**given)
    since_s, until_s = point_in_time(since), point_in_time(until)
    from rich.console import Console

    from workers.notices import Notices

    notices = Notices(Console(stderr=True), quiet=False)
    with notices.waiting("searching"):
        from workers.find.query import query
        from workers.find.search import search

        hits = search(
            folder, streams, lambda origin: query(asked, origin, notices.say), top, since_s, until_s, apart
        )
    for hit in hits:
        click.echo(json.dumps(hit.to_dict()) if as_json else hit.text())
    if not hits:
        click.echo("no moment of that time is kept", err=True)
