"""The options that say how pictures become a model's input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.fit import FITS, parse_size

_Command = TypeVar("_Command", bound=Callable[..., Any])


def input_options(default: str) -> Callable[[_Command], _Command]:
    """Adds `--fit` and `--size`; what is not given is None.

    Args:
        default: what holds then, in words.
    """

    def added(command: _Command) -> _Command:
        for option in (
            click.option(
                "--size",
                metavar="N|WxH",
                callback=_checked,
                help="Size in pixels that pictures are fitted into: a side of a square, or both sides.  "
                f"[default: {default}]",
            ),
            click.option(
                "--fit",
                type=click.Choice(FITS),
                help="How: native keeps the aspect and pads nothing; letterbox pads, but runs no patch of "
                "padding; crop takes the middle; stretch changes the aspect.  "
                f"[default: {default}; see `vwt models`]",
            ),
        ):
            command = option(command)
        return command

    return added


def _checked(_context: click.Context, _option: click.Parameter, size: str | None) -> str | None:
    if size is not None:
        parse_size(size)
    return size
