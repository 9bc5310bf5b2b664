"""Refuses what was asked of a tokenizer that does nothing with it. Free of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pipeline.errors import UsageError
from pipeline.tokenizers.registry import TOKENIZERS, Kind, all_options, flag


def on_command_line(name: str) -> str:
    """An option as it is written there."""
    return f"--{flag(name)}"


def check_taken(
    kind: Kind,
    options: Mapping[str, Any],
    of_words: Iterable[str] = (),
    written: Callable[[str], str] = str,
) -> None:
    """Refuses options that were given and would change nothing.

    Args:
        kind: what is to run.
        options: those of tokenizers that were given, by name.
        of_words: names of others that were given, which matter to tokenizers that want words.
        written: how an option is written where it was given.

    Raises:
        UsageError: the tokenizer has no such option, or wants no words with these.
    """
    for name in options:
        if name not in kind.options:
            others = all_options()[name][1]
            raise UsageError(
                f"the tokenizer {kind.name} does not take {written(name)}: it is of {', '.join(others)}; "
                f"leave it out, or give {written('tokenizer')} {others[0]}"
            )
    useless = [written(name) for name in of_words]
    if useless and not kind.wants_words(options):
        are = "is" if len(useless) == 1 else "are"
        raise UsageError(
            f"the tokenizer {kind.name} uses no visual words, which {', '.join(useless)} {are} about; "
            f"leave it out, or give {_with_words(kind, written)}"
        )


def _with_words(kind: Kind, written: Callable[[str], str]) -> str:
    """What to give so that there are words."""
    if kind.wants == "words if near":
        assert kind.near is not None
        return f"{written(kind.near)} above 0"
    return f"{written('tokenizer')} {next(one.name for one in TOKENIZERS.values() if one.wants == 'words')}"
