"""Options that say in what a model computes, for every command that runs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pipeline.runtimes import AUTO, RUNTIMES, precision_choices, runtime_choices

_KINDS = ", ".join(f"{kind.name} ({kind.says})" for kind in RUNTIMES.values())


def computed_options(precision: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds `--precision`, `--runtime` and `--calibrate`.

    Args:
        precision: the default of the first; None where settings have the defaults of both.
    """
    runtime = AUTO if precision is not None else None

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command = click.option(
            "--calibrate",
            metavar="FILE",
            help="Video whose frames int8, and auto, are fitted to.  [default: the stream's first frames]",
        )(command)
        command = click.option(
            "--runtime",
            type=click.Choice(runtime_choices()),
            default=runtime,
            show_default=runtime is not None,
            help=f"What computes: {_KINDS}; auto takes the fastest on the CPU, and PyTorch on a GPU.",
        )(command)
        return click.option(
            "--precision",
            type=click.Choice(precision_choices()),
            default=precision,
            show_default=precision is not None,
            help="What the model computes in. auto takes the fastest that keeps a cosine of .999 to fp32 on "
            "the first frames, and bf16 on a GPU; int8 is faster still and less true.",
        )(command)

    return add
