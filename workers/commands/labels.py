"""`vwt labels`."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(short_help="Labels that need no training, from texts.")
def labels() -> None:
    """Make labels for `vwt run --labels`, which scores embeddings by them."""


@labels.command(short_help="Make labels of texts.")
@click.argument("names", nargs=-1, required=True, metavar="TEXT...")
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), required=True, help="File to write (.safetensors)."
)
@click.option(
    "--model",
    required=True,
    metavar="NAME",
    help="Image tower they are for, such as vit_base_patch16_clip_224.openai; see `vwt models '*clip*'`.",
)
@click.option(
    "--text-model",
    metavar="NAME",
    help="open_clip's name of the model with its text tower, such as ViT-B-16.  "
    "[default: the one that the published weights of --model belong to]",
)
@click.option(
    "--text-weights",
    metavar="TAG|FILE",
    help="Weights of the text tower: open_clip's tag, or a file of its; `random` for none (tests).",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="TEXT",
    help="Text with {} where each TEXT goes (may be given again: their vectors are averaged).  "
    "[default: '{}', 'a photo of {}.', 'a picture of {}, seen by a camera.']",
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0, min_open=True),
    help="Of the scores: less makes the best surer of itself.  [default: what the towers were trained with]",
)
@click.option(
    "--none-below",
    type=click.FloatRange(-1, 1),
    metavar="COSINE",
    help='Answer "none of these" where no text is nearer to the picture than this.  [default: never]',
)
def text(
    names: tuple[str, ...],
    out: Path,
    model: str,
    text_model: str | None,
    text_weights: str | None,
    templates: tuple[str, ...],
    temperature: float | None,
    none_below: float | None,
) -> None:
    """Make labels of each TEXT, such as "a forklift" "an empty aisle", for `vwt run --labels`.

    Needs open_clip: pip install 'vwt-stream[text]'. What is told apart by it was learned from captions of
    pictures on the web: try it on frames of your own before you rely on it.
    """
    from pipeline.errors import UsageError
    from pipeline.outputs.files import check_output

    if (text_model is None) != (text_weights is None):
        raise UsageError("--text-model and --text-weights belong together; give both or neither")
    check_output(out, "--out")
    from rich.console import Console

    from workers.notices import Notices

    with Notices(Console(stderr=True), quiet=False).waiting("embedding texts"):
        from pipeline.models.text_tower import TEMPLATES, TextTower, text_labels, tower_of

        if text_model is not None and text_weights is not None:
            tower = TextTower(text_model, text_weights)
        else:
            tower = tower_of(model)
        made = text_labels(names, model, tower, templates or TEMPLATES, temperature, none_below)
    made.save(out)
    click.echo(f"{len(names)} labels for {made.model}, made with {made.made_with}: {out}", err=True)
