"""`vwt streams`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pipeline.defaults import LEAST_HISTORY_BYTES
from workers.commands.input_options import input_options
from workers.commands.scene_options import scene_options
from workers.commands.tokenizer_options import OF_WORDS, tokenizer_options
from workers.commands.watch_options import sharing_options, watch_options
from workers.serve.address import DEFAULT_URL
from workers.sinks.registry import sink_forms

if TYPE_CHECKING:
    from workers.client import ServiceClient

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _of_service(command: _Command) -> _Command:
    """Adds what every command needs: which service, and how to answer."""
    options = (
        click.option("--url", envvar="VWT_URL", default=DEFAULT_URL, show_default=True, help="The service."),
        click.option("--token", envvar="VWT_TOKEN", metavar="TEXT", help="Bearer token  [env: VWT_TOKEN]."),
        click.option("--json", "as_json", is_flag=True, help="Print what the service says, as JSON."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _client(url: str, token: str | None) -> ServiceClient:
    from workers.client import ServiceClient

    return ServiceClient(url, token)


@click.group(short_help="Streams of a running service: add, list, show, remove, pause, resume, tail.")
def streams() -> None:
    """Add streams to a running service (`vwt serve`), look at them, follow them."""


@streams.command(short_help="Add a stream.")
@click.argument("source")
@click.option("--name", metavar="ID", help="Its id.  [default: from the source]")
@click.option("--model", metavar="NAME", help="See `vwt models`.  [default: the service's]")
@input_options("the service's, or as suits the model that is named")
@tokenizer_options
@watch_options
@sharing_options
@scene_options
@click.option("--words", type=int, help=f"{OF_WORDS}: how many visual words.")
@click.option(
    "--scope",
    metavar="NAME",
    help=f"{OF_WORDS}: streams of one scope share words.  [default: that of its label site, or its own]",
)
@click.option("--fps", type=float, help="Sample this many frames per second of presentation time.")
@click.option("--policy", type=click.Choice(["block", "drop-oldest"]), help="When inference is slower.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="Of your own; may be repeated.")
@click.option("--loop", is_flag=True, default=None, help="Play a file again and again.")
@click.option("--realtime", is_flag=True, default=None, help="Read a file at its own pace.")
@click.option(
    "--history",
    type=click.IntRange(min=LEAST_HISTORY_BYTES),
    metavar="BYTES",
    help="Keep what frames that changed looked like, to be searched by a picture.  [default: nothing]",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="WHERE",
    help=f"Also deliver results there: {sink_forms()}. May be repeated.",
)
@click.option(
    "--rules",
    metavar="FILE",
    help="Rules (YAML or JSON, of this machine) that make events of its results; see docs/events.md.",
)
@_of_service
def add(url: str, token: str | None, as_json: bool, **given: Any) -> None:
    """Have the service read SOURCE: rtsp(s)://, http(s)://, camera:N, sample:NAME or a file.

    A file is read where the service runs, in a folder that it allows.
    """
    stream = {key: value for key, value in given.items() if value is not None and value != ()}
    stream["source"] = _full_path(given["source"])
    if not given["changed"]:
        del stream["changed"]
    if given["zones"]:
        from pipeline.scene.zones import Zones

        stream["zones"] = Zones.load(given["zones"]).to_dict()
    if given["classes"]:
        from pipeline.scene.classes import Classes

        stream["classes"] = Classes.load(given["classes"]).to_dict()
    if given["labels"]:
        stream["labels"] = dict(map(_label, given["labels"]))
    if given["sinks"]:
        stream["sinks"] = [text if "://" in text else str(Path(text).absolute()) for text in given["sinks"]]
    if given["rules"]:
        stream["rules"] = _rules(given["rules"])
    added = _client(url, token).add(stream)
    click.echo(json.dumps(added) if as_json else added["id"])


def _rules(path: str) -> list[dict[str, Any]]:
    from pipeline.events import read_rules_file

    return [rule.model_dump(mode="json", exclude_defaults=True) for rule in read_rules_file(path)]


@streams.command("list", short_help="List all streams.")
@_of_service
def list_streams(url: str, token: str | None, as_json: bool) -> None:
    """List all streams with what they are doing and what they cost."""
    found = _client(url, token).all()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    if not found:
        click.echo("no streams; add one with: vwt streams add sample:bikes --loop", err=True)
        return
    from rich.console import Console

    from workers.client.text import PIPE_WIDTH, stream_table

    console = Console()
    if not console.is_terminal:
        console = Console(width=PIPE_WIDTH)
    console.print(stream_table(found))


@streams.command(short_help="Show one stream.")
@click.argument("stream", metavar="ID")
@_of_service
def show(stream: str, url: str, token: str | None, as_json: bool) -> None:
    """Show what the stream ID is, what it is doing, and where its results go."""
    found = _client(url, token).show(stream)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    from workers.client.text import stream_rows

    for name, value in stream_rows(found):
        click.echo(f"{name:<13}{value}")


@streams.command(short_help="Remove a stream with its results.")
@click.argument("stream", metavar="ID")
@_of_service
def remove(stream: str, url: str, token: str | None, as_json: bool) -> None:
    """Remove the stream ID with its results."""
    _client(url, token).remove(stream)
    click.echo(json.dumps({"removed": stream}) if as_json else f"removed {stream}")


@streams.command(short_help="Keep a stream, but do not read it.")
@click.argument("stream", metavar="ID")
@_of_service
def pause(stream: str, url: str, token: str | None, as_json: bool) -> None:
    """Stop reading the stream ID until it is resumed."""
    changed = _client(url, token).change(stream, {"paused": True})
    click.echo(json.dumps(changed) if as_json else f"paused {stream}")


@streams.command(short_help="Read a paused stream again.")
@click.argument("stream", metavar="ID")
@_of_service
def resume(stream: str, url: str, token: str | None, as_json: bool) -> None:
    """Read the stream ID again."""
    changed = _client(url, token).change(stream, {"paused": False})
    click.echo(json.dumps(changed) if as_json else f"resumed {stream}")


@streams.command(short_help="Follow the results of a stream.")
@click.argument("stream", metavar="ID")
@click.option(
    "--after",
    metavar="CURSOR",
    help="Begin after this event id, or after that many results (0: the oldest kept).  [default: now]",
)
@click.option("--limit", type=click.IntRange(min=1), help="End after this many frames.")
@_of_service
def tail(
    stream: str, after: str | None, limit: int | None, url: str, token: str | None, as_json: bool
) -> None:
    """Follow the results of the stream ID, through restarts of the service, until it is removed or Ctrl-C."""
    from workers.client import follow
    from workers.client.text import event_line

    def say(text: str) -> None:
        click.echo(f"vwt: {text}", err=True)

    left = limit
    try:
        for event in follow(_client(url, token), stream, after, say):
            line = event.data if as_json else event_line(event.event, event.data)
            if line is not None:
                click.echo(line)
            if left is not None and event.event == "prediction":
                left -= 1
                if left == 0:
                    return
    except KeyboardInterrupt:
        return


def _full_path(source: str) -> str:
    # The service has another working directory. What may be a URL or camera:0 is left to it.
    if ":" in source and not source.startswith("."):
        return source
    return str(Path(source).absolute())


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--label")
    return key, value
