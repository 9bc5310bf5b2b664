"""`vwt models`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from pipeline.defaults import DEFAULT_MODEL
from pipeline.fit import FITS
from pipeline.tokenizers.registry import TOKENIZERS, taken_with

if TYPE_CHECKING:
    from rich.table import Table


@click.command(short_help="Which models there are, and which tokenizers each takes.")
@click.argument("pattern", required=False)
def models(pattern: str | None) -> None:
    """List the bundled models, the detectors and the families that tokenize.

    With PATTERN (such as 'vit_small*'), list the models of that name and whether their weights are
    published; any of them goes to --model.
    """
    from rich.console import Console

    from pipeline.errors import ModelError
    from pipeline.models import BUNDLED, DETECTORS, FAMILIES, PlainModel, find_models

    console = Console()
    if pattern is not None:
        names = find_models(pattern)
        if not names:
            raise ModelError(f"no model matches '{pattern}'; try `vwt models '*{pattern.strip('*')}*'`")
        for name in names:
            click.echo(name)
        return
    # Names are there to be copied: never cut.
    bundled = _table("Bundled", "model", "prediction", "tokenizers", "what it is")
    for entry in BUNDLED:
        bundled.add_row(entry.name, entry.prediction, _listed(entry.tokenizers), entry.what)
    console.print(bundled)
    detectors = _table("Detectors", "model", "prediction", "tokenizers", "weights", "what it is")
    for name, detector in DETECTORS.items():
        detectors.add_row(name, "boxes", _listed(taken_with(detector.parts)), detector.hub, detector.what)
    console.print(detectors)
    families = _table("timm families", "for example", "tokenizers", "family")
    for family in FAMILIES:
        families.add_row(family.example, _listed(taken_with(family.parts)), family.name)
    families.add_row("resnet50", _listed(PlainModel.tokenizers), "any other")
    console.print(families)
    console.print(f"All tokenizers: {', '.join(TOKENIZERS)}.")
    console.print(
        f"Models that take all tokenizers take every --fit ({', '.join(FITS)}) and any --size in whole "
        "patches. Others do not take native, and many run at one size only. "
        f"Unless told otherwise {DEFAULT_MODEL} and the detectors are native, and timm's models are as they "
        "were evaluated."
    )
    console.print("A classifier predicts labels; a model without a classifier gives embeddings.")


def _listed(tokenizers: Sequence[str]) -> str:
    others = [name for name in TOKENIZERS if name not in tokenizers]
    if not others:
        return "all"
    return ", ".join(tokenizers) if len(tokenizers) < len(others) else f"all but {', '.join(others)}"


def _table(title: str, *columns: str) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE)
    for position, column in enumerate(columns):
        table.add_column(column, no_wrap=position < len(columns) - 1)
    return table
