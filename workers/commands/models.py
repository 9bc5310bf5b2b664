"""`vwt models`."""

from __future__ import annotations

import click


@click.command(short_help="Which models there are, and which tokenizers each takes.")
@click.argument("pattern", required=False)
def models(pattern: str | None) -> None:
    """List the bundled models and the families that tokenize.

    With PATTERN (such as 'vit_small*'), list timm's models of that name and whether their weights are
    published; any of them goes to --model.
    """
    from rich.console import Console
    from rich.table import Table

    from pipeline.errors import ModelError
    from pipeline.models import BUNDLED, FAMILIES, find_models

    console = Console()
    if pattern is not None:
        names = find_models(pattern)
        if not names:
            raise ModelError(f"no model matches '{pattern}'; try `vwt models '*{pattern.strip('*')}*'`")
        for name in names:
            click.echo(name)
        return
    bundled = Table("model", "what it is", "prediction", "tokenizers", title="Bundled", title_justify="left")
    for entry in BUNDLED:
        bundled.add_row(entry.name, entry.what, entry.prediction, ", ".join(entry.tokenizers))
    console.print(bundled)
    families = Table("family", "for example", "tokenizers", title="timm families", title_justify="left")
    for family, example in FAMILIES:
        families.add_row(family, example, "full, intra, inter")
    families.add_row("any other", "resnet50, swin_tiny_patch4_window7_224", "full")
    console.print(families)
    console.print("A classifier predicts labels; a model without a classifier gives embeddings.")
