"""Files of what was learned of a camera: one JSON object, for one model and input of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from pipeline.errors import UsageError

# What it holds; `vwt zones learn` and `vwt classes learn` make them.
Kind = Literal["zones", "classes"]
T = TypeVar("T")


def understood(kind: Kind, form: str, given: Any, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of an object of that format.

    Args:
        kind: what is wanted.
        form: its `format`.
        given: as JSON gives it.
        read: may raise whatever odd values raise.

    Raises:
        UsageError: it is none, or cannot be right; says what of it.
    """
    make = f"make some with `vwt {kind} learn`"
    try:
        if not isinstance(given, dict):
            raise UsageError(f"a list or a bare value is no such file; {make}")
        if given["format"] != form:
            raise UsageError(f"format {given['format']!r} is not {form}; {make}")
        return read(given)
    except UsageError as error:
        raise UsageError(f"these are no {kind} that can be used: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UsageError(f"these are no {kind} that can be used: {reason}; {make}") from None


def load(kind: Kind, path: str | Path, from_dict: Callable[[Any], T]) -> T:
    """Reads a file; raises UsageError where there is none, or what it holds cannot be used."""
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"cannot read {kind} from {path}: {reason}; make some with `vwt {kind} learn`"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {kind} from {path}: it is no JSON ({error})") from None
    try:
        return from_dict(given)
    except UsageError as error:
        raise UsageError(f"cannot use {path}: {error}") from None


def check_seen_alike(kind: Kind, learned: tuple[str, str], given: tuple[str, str]) -> None:
    """Refuses a (model, input) that they were not learned with."""
    for one, other, what in zip(learned, given, ("model", "input"), strict=True):
        if one != other:
            raise UsageError(
                f"these {kind} were learned with the {what} {one} and cannot be told by {other}: run "
                "with the same --model, --size and --fit, or learn them anew"
            )
