"""The `vwt` command. A command is imported when it is called, and what it needs when it needs it."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from pipeline.errors import VwtError
from pipeline.redact import redact
from workers.interrupt import noted_interrupt
from workers.threads import share_cores

_DEBUG = "--debug"
# Each is the function of that name in the module of that name in workers/commands.
_COMMANDS = (
    *("bench", "cells", "classes", "doctor", "find", "key", "labels", "models"),
    *("run", "serve", "streams", "token", "vocab", "zones"),
)


class _Commands(click.Group):
    """Imports a command when it is asked for.

    Ends quietly when who reads our output has what they wanted; click would exit with 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click gives it)
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"workers.commands.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            # Keeps the interpreter from flushing into the broken pipe when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return code


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.version_option(version("vwt-stream"), message="%(version)s")
@click.option(_DEBUG, is_flag=True, help="Show tracebacks and library messages (anywhere on the line).")
def cli(debug: bool) -> None:  # taken off the line by `main`
    """Streaming video inference with Vision Transformers.

    Patches that look alike are merged, those that say least are dropped, or what did not change is recalled
    (--tokenizer); every result says what it cost in joules. Start with: vwt run sample:bikes
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a line and exits: 0 done, 2 usage, 3 source, 4 model, 5 service, 1 anything else, 130 Ctrl-C."""
    share_cores()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = _DEBUG in words
    _quieten_libraries(debug)
    with noted_interrupt() as interrupted:
        code = _call([word for word in words if word != _DEBUG], debug, interrupted)
    sys.exit(code)


def _call(words: list[str], debug: bool, interrupted: threading.Event) -> int:
    try:
        code = cli.main(words, prog_name="vwt", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        return _fail(error.format_message(), error.exit_code, debug)
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except VwtError as error:
        return _fail(str(error), error.exit_code, debug)
    except Exception as error:
        if interrupted.is_set():
            # Ends the line of the terminal's ^C, as click does.
            print(file=sys.stderr)
            return 130
        cause = f"{type(error).__name__}: {error}"
        return _fail(f"unexpected error: {cause}; run again with {_DEBUG} and report what it shows", 1, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"vwt: {redact(' '.join(message.split()))}", file=sys.stderr)
    return code


def _quieten_libraries(debug: bool) -> None:
    if debug:
        logging.basicConfig(level=logging.INFO)
    else:
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
