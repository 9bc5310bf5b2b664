"""The options that choose and set a tokenizer, made from the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pipeline.tokenizers.registry import TOKENIZERS, all_options, flag

_Command = TypeVar("_Command", bound=Callable[..., Any])

# Who uses the options for visual words, as help says it.
OF_WORDS = ", ".join(kind.name for kind in TOKENIZERS.values() if kind.wants != "nothing")


def tokenizer_options(command: _Command) -> _Command:
    """Adds `--tokenizer` and every option that any tokenizer has; what is not given is None."""
    for name, (option, names) in reversed(all_options().items()):
        says = f"{', '.join(names)}: {option.says}"
        if option.type is bool:
            command = click.option(f"--{flag(name)}", name, is_flag=True, default=None, help=f"{says}.")(
                command
            )
            continue
        says += f" ({option.bounds}).  [default: {option.type(option.default)}]"
        # What is not a choice is refused by `Kind.check`, in the words of the others.
        command = click.option(f"--{flag(name)}", name, type=option.type, help=says)(command)
    what = "; ".join(f"{kind.name}: {kind.says}" for kind in TOKENIZERS.values())
    says = f"{what}.  [default: the first of them that the model takes]"
    return click.option("--tokenizer", metavar="NAME", help=says)(command)
