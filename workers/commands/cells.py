"""`vwt cells`."""

from __future__ import annotations

import threading
from pathlib import Path

import click


@click.command(short_help="Show many services as one.")
@click.argument("cells", nargs=-1, required=True, metavar="NAME=URL...")
@click.option("--host", metavar="NAME", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 for a free one.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Let in only who holds a token (see `vwt token`), of those that the cells know as well; needed to "
    "listen on other than loopback.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def cells(cells: tuple[str, ...], host: str, port: int, token_file: Path | None, quiet: bool) -> None:
    """One API and one page over several services, each a cell with a Ray and a Redis of its own.

    Until Ctrl-C. What fails in a cell stays there: its streams are shown as failed, all others go on. Each
    cell is given as NAME=URL, such as north=http://north:8000.
    """
    from rich.console import Console

    from pipeline.errors import UsageError
    from workers.access.bearer_tokens import BearerTokens
    from workers.cells.api import build_directory
    from workers.cells.cell import Cell
    from workers.gateway.listener import Listener
    from workers.notices import Notices
    from workers.serve.address import base_url, free_port, is_loopback
    from workers.serve.signals import Signals
    from workers.settings.schema import GatewaySettings

    named = dict(text.split("=", 1) for text in cells if "=" in text)
    if len(named) < len(cells) or not all(named):
        raise click.UsageError("give each cell once, as NAME=URL")
    if token_file is None and not is_loopback(host):
        raise UsageError(f"on --host {host} others reach the cells: give --token-file FILE as well")
    tokens = None if token_file is None else BearerTokens(token_file)
    settings = GatewaySettings()
    app = build_directory([Cell(*one) for one in named.items()], tokens, settings)
    notices = Notices(Console(stderr=True, quiet=quiet), quiet)
    listener = Listener(app, host, free_port(host, port), 2 * settings.max_connections, 3)
    signals = Signals()
    with signals.quiet_end():
        try:
            # Before that nothing runs that wants an orderly end.
            signals.listen()
            notices.say(f"page {base_url(host, listener.port)}/   cells {', '.join(named)}")
            threading.Event().wait()
        finally:
            listener.close()
