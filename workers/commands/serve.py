"""`vwt serve`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipeline.defaults import DEFAULT_MIN_SCORE
from workers.commands.computed_options import computed_options
from workers.commands.input_options import input_options

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _by_model(name: str, says: str) -> Callable[[_Command], _Command]:
    """An option that may be given for one model after the other, as MODEL=FILE; None where it is not."""

    def read(
        _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
    ) -> dict[str, str] | None:
        pairs = [text.partition("=") for text in given]
        if not all(model and file for model, _, file in pairs):
            raise click.BadParameter("give MODEL=FILE")
        return {model: file for model, _, file in pairs} or None

    return click.option(
        f"--{name}", multiple=True, metavar="MODEL=FILE", callback=read, help=f"{says} (may be given again)."
    )


@click.command(short_help="Run the service: many streams and an HTTP API.")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@click.option("--host", metavar="NAME", help="Address to listen on.  [default: 127.0.0.1]")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 for a free one.  [default: 8000]"
)
@click.option("--model", metavar="NAME", help="Of streams that name none; see `vwt models`.")
@input_options("as suits the model")
@computed_options(None)
@_by_model("weights", "A .safetensors or .pth file of weights for MODEL, or `random`")
@_by_model("names", "Names of the classes of MODEL, as `vwt run --names` takes them")
@_by_model("labels", "Labels that the embeddings of MODEL are scored by, as `vwt run --labels` takes them")
@click.option(
    "--embedding",
    is_flag=True,
    default=None,
    help="Add the pooled features to each prediction, of all streams.",
)
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    help=f"Score that a box of a detector has at least, of all streams.  [default: {DEFAULT_MIN_SCORE}]",
)
@click.option(
    "--redis",
    metavar="URL",
    help="Keep streams and results in this Redis.  [default: an embedded one]",
)
@click.option(
    "--data-folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Where the embedded Redis keeps its data.  [default: ~/.local/state/vwt]",
)
@click.option(
    "--ray-address",
    metavar="HOST:PORT",
    help="Run on this Ray cluster.  [default: one that is started here]",
)
@click.option(
    "--allow-folder",
    "allow_folders",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FOLDER",
    help="Let streams read files in this folder (may be given again).",
)
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="HOST",
    help="Let streams read from this host or network though its address is private; * for any (may be given "
    "again).",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Let in only who holds a token (see `vwt token`); needed to listen on other than loopback.",
)
@click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Seal the credentials of sources and sinks in Redis with the keys of this file (see `vwt key`).",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings as TOML, YAML or JSON. The environment (VWT_PORT, VWT_INGEST__LEASE_S, ...) wins over it, "
    "and options over both.",
)
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="Of notices, and of the replicas' logs; json for one object per line.  [default: text]",
)
@click.option("--print-config", is_flag=True, help="Print the settings in effect as YAML, and end.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
def serve(
    sources: tuple[str, ...], config: Path | None, print_config: bool, quiet: bool, **given: Any
) -> None:
    """Run the service until Ctrl-C, with each SOURCE as a stream from the start.

    Files and samples given here are played again and again at their own pace, as cameras would come. More
    streams are added with `vwt streams add` or over HTTP.
    """
    from workers.settings.loading import load_settings, print_settings

    access = {name: given.pop(name) for name in ("allow_folders", "allow_hosts", "token_file")}
    flags: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    computed = ("weights", "names", "labels", "precision", "runtime", "calibrate", "embedding", "min_score")
    flags["inference"] = {name: flags.pop(name) for name in computed if name in flags}
    flags["access"] = {name: value for name, value in access.items() if value}
    settings = load_settings(config, flags)
    if print_config:
        click.echo(print_settings(settings), nl=False)
        return

    from rich.console import Console

    from workers.notices import Notices
    from workers.telemetry.notices import JsonNotices

    json_lines = settings.log_format == "json"
    notices = JsonNotices(quiet) if json_lines else Notices(Console(stderr=True, quiet=quiet), quiet)
    with notices.waiting("starting"):
        from workers.serve.launch import serve_until_stopped
    serve_until_stopped(settings, sources, notices)
