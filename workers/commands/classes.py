"""`vwt classes`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.defaults import DEFAULT_MODEL
from workers.commands.input_options import input_options


@click.group(short_help="Names for what changed, learned from boxes drawn in a clip.")
def classes() -> None:
    """Make names for `vwt run --classes`, which gives them to the boxes of what changed."""


@classes.command(short_help="Learn names from boxes.")
@click.argument("source")
@click.argument("boxes", type=click.Path(path_type=Path))
@click.option("--model", default=DEFAULT_MODEL, metavar="NAME", show_default=True, help="See `vwt models`.")
@click.option("--weights", metavar="FILE", help="As of `vwt run`.  [default: the published ones]")
@input_options("as suits the model")
@click.option(
    "--device", default="auto", metavar="NAME", show_default=True, help="auto, cpu, cuda or cuda:N."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write (.json).")
def learn(
    source: str,
    boxes: Path,
    model: str,
    weights: str | None,
    fit: str | None,
    size: str | None,
    device: str,
    out: Path,
) -> None:
    """Learn names from BOXES that were drawn in SOURCE, a clip of a fixed camera.

    BOXES is JSON, a list of {"time": seconds, "box": [x, y, w, h], "name": NAME} in 0..1 of the picture, or
    CSV with the columns time,x,y,w,h,name. Draw five or more of each name, of different things; boxes named
    "not this" show what has none of the names. Run with the same --model, --size and --fit later.
    """
    from pipeline.outputs.files import check_output
    from pipeline.scene.classes import NOT_THIS
    from pipeline.scene.drawn_boxes import ENOUGH, check_examples, read_examples

    examples = read_examples(boxes)
    counts = check_examples(examples)
    check_output(out, "--out")

    from rich.console import Console

    from workers.notices import Notices

    notices = Notices(Console(stderr=True), quiet=False)
    with notices.waiting(f"loading {model}"):
        from pipeline.models import load_model, resolve_device
        from pipeline.preprocess import Preprocessor
        from pipeline.scene.learning import frames_at
        from pipeline.scene.naming import learned, values_of

        loaded = load_model(model, weights, resolve_device(device), fit=fit, size=size)
    with notices.waiting("looking at the boxes"):
        times_s = sorted({example.at_s for example in examples})
        frames = frames_at(
            source, times_s, Preprocessor(loaded.input), lambda notice: notices.say(notice.message)
        )
        drawn = [[example.box for example in examples if example.at_s == time_s] for time_s in times_s]
        made = learned(loaded, frames, values_of(loaded, frames), drawn)
    made.save(out)
    for name, count in counts.items():
        if name != NOT_THIS and count < ENOUGH:
            notices.say(f"{name} has {count} boxes: {ENOUGH} or more, of different things, are told better")
    click.echo(
        table([(name, one.examples, one.right, one.least) for name, one in made.names.items()]), err=True
    )
    beside = f", {len(made.others)} boxes are none of them" if len(made.others) else ""
    click.echo(f"{len(made.names)} names{beside}: {out}", err=True)


def table(rows: list[tuple[str, int, float, float]]) -> str:
    """Name, boxes, share told right by the others, and from which likeness on it is said."""
    width = max(len("name"), *(len(name) for name, *_ in rows))
    lines = [f"{'name':{width}}  boxes  told by the others  said from"]
    lines += [
        f"{name:{width}}  {count:5d}  {100 * right:16.0f} %  {least:9.2f}"
        for name, count, right, least in rows
    ]
    return "\n".join(lines)
