"""`vwt token`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Make a bearer token for the service.")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "manage"]),
    default="read",
    show_default=True,
    help="read: see streams and results.  manage: add, change and remove streams as well.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Token file to add it to; a running service reads it again.",
)
def token(name: str, role: str, path: Path) -> None:
    """Make a token called NAME, print it once, and add its hash to FILE (see `vwt serve --token-file`)."""
    from workers.access.bearer_tokens import add_token

    made = add_token(path, name, "manage" if role == "manage" else "read")
    click.echo(f"added {name} ({role}) to {path}; this is the only time its token is shown:", err=True)
    click.echo(made)
