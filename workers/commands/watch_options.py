"""The options that say how answers are watched, what is promised of them, and who gives way first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.defaults import DEFAULT_AUDIT
from pipeline.guard.promise import PROMISED_BY

_Command = TypeVar("_Command", bound=Callable[..., Any])


def watch_options(command: _Command) -> _Command:
    """Adds `--audit`, `--guard` and `--guard-by`; what is not given is None."""
    for option in (
        click.option(
            "--guard-by",
            type=click.Choice(PROMISED_BY),
            help="What --guard is about: the 5th percentile of the cosine to the full model's answers, or "
            "the mean agreement with its labels, regions or boxes.  [default: cosine]",
        ),
        click.option(
            "--guard",
            type=float,
            metavar="TARGET",
            help="Hold this fidelity at the least compute: moves the tokenizer's option by what audits find, "
            "and runs in full where it cannot be held (0.5 to 1, 1 excluded); for recall the same as "
            "--target.  [default: the option stays as it is]",
        ),
        click.option(
            "--audit",
            type=click.FloatRange(0, 1),
            help="Share of frames, drawn at random, that are answered in full, too, to see what the answers "
            f"are worth.  [default: {DEFAULT_AUDIT}]",
        ),
    ):
        command = option(command)
    return command


def sharing_options(command: _Command) -> _Command:
    """Adds `--priority` and `--min-target`; what is not given is None."""
    for option in (
        click.option(
            "--min-target",
            type=float,
            metavar="TARGET",
            help="Fidelity that its target may be lowered to before frames are lost.  [default: frames are "
            "lost]",
        ),
        click.option(
            "--priority",
            type=click.FloatRange(0.01, 100),
            help="Weight among other streams where there is not enough for all.  [default: 1]",
        ),
    ):
        command = option(command)
    return command
