"""`vwt key`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Make a key that seals what the service keeps.")
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Key file to put it on top of; made if missing.",
)
def key(path: Path) -> None:
    """Put a new key on top of FILE (see `vwt serve --key-file`).

    The first key seals, all open. To change keys: add one, restart the service, which seals everything with
    it, and delete the lines below the first.
    """
    from workers.contract.sealing import add_key

    add_key(path)
    click.echo(f"added a key to {path}; without it what is sealed is lost: keep a copy elsewhere", err=True)
