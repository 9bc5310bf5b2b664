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

    from pipeline.models.catalog import Published


@click.command(short_help="Which models there are, and which tokenizers each takes.")
@click.argument("pattern", required=False)
def models(pattern: str | None) -> None:
    """List the bundled models, the detectors and the families that tokenize.

    With PATTERN (such as 'vit_small*'), list timm's models of that name, a line for each of the weights that
    are published (not necessarily here), what it then predicts, and under which license; any of them goes to
    --model. docs/models.md says where weights are looked for.
    """
    from rich.console import Console

    from pipeline.errors import ModelError
    from pipeline.models import BUNDLED, DETECTORS, FAMILIES, PlainModel

    console = Console()
    if pattern is not None:
        lines = _matching(pattern)
        if not lines:
            raise ModelError(f"no model matches '{pattern}'; try `vwt models '*{pattern.strip('*')}*'`")
        width = max(len(name) for name, _ in lines)
        for name, says in lines:
            click.echo(f"{name:{width}}  {says}")
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
    console.print(
        "A classifier predicts labels (--names for your own); a model without a classifier, or one that was "
        "trained beside text as CLIP, gives embeddings, which --labels scores. `vwt models 'vit_small*'` "
        "says which weights are published; hf-hub:owner/name and local-dir:path go to --model too."
    )


def _matching(pattern: str) -> list[tuple[str, str]]:
    """Names of timm's that match, and what there is to say of each."""
    from pipeline.models import find_models, published

    found = published(pattern)
    lines = [(one.name, _says(one)) for one in found]
    with_weights = {one.name.partition(".")[0] for one in found}
    names = [] if "." in pattern else find_models(pattern)
    return sorted([*lines, *((name, "no published weights") for name in names if name not in with_weights)])


def _says(one: Published) -> str:
    unit = "classes" if one.prediction == "labels" else "numbers beside text"
    what = f"{one.prediction} ({one.size} {unit})" if one.size else one.prediction
    return f"{what}, {one.license or 'license not stated'}"


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
