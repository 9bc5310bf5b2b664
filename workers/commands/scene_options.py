"""The options that say what is to be found in the picture of a fixed camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def scene_options(command: _Command) -> _Command:
    """Adds `--changed`, `--classes` and `--zones`."""
    for option in (
        click.option(
            "--zones",
            metavar="FILE",
            help="Fixed cameras: tell the states of these zones in each frame; see `vwt zones learn`.",
        ),
        click.option(
            "--classes",
            metavar="FILE",
            help="Fixed cameras: name the boxes of what changed; see `vwt classes learn`. Implies --changed.",
        ),
        click.option(
            "--changed",
            is_flag=True,
            help="Fixed cameras: add boxes of what is not as it usually is at its place (docs/scene.md).",
        ),
    ):
        command = option(command)
    return command
