"""Names of classes from a file."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError

_MAX_BYTES = 64 * 2**20


def read_names(path: str | Path) -> list[str]:
    """Names of classes by index.

    Args:
        path: text with a name per line, or JSON (.json): a list of names, or an object of names by index as
            `id2label` in the configuration of a model has it.

    Raises:
        UsageError: it cannot be read, or does not name every class.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"cannot read names from {path}: it is larger than {_MAX_BYTES >> 20} MB")
        text = path.read_text(encoding="utf-8-sig")
        names = _from_json(json.loads(text)) if path.suffix.lower() == ".json" else text.splitlines()
    except OSError as error:
        raise UsageError(f"cannot read names from {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"cannot read names from {path}: give text with a name per line, or JSON with a list of names "
            "or names by index"
        ) from error
    while names and not names[-1].strip():
        names.pop()
    names = [name.strip() for name in names]
    if not all(is_shown(name) for name in names):
        raise UsageError(f"a name in {path} holds what cannot be shown: give plain text")
    if not names or not all(names):
        missing = f"line {names.index('') + 1} is empty" if names else "it is empty"
        raise UsageError(f"the names in {path} are not one per class: {missing}")
    return names


def is_shown(name: str) -> bool:
    """Whether a name is text all through: no control characters, no halves of characters."""
    return all(unicodedata.category(letter) not in ("Cc", "Cs") for letter in name)


def check_count(names: list[str], path: str | Path, model: str, classes: int) -> None:
    """Raises UsageError where there is not one name per class."""
    if not classes:
        raise UsageError(f"model '{model}' has no classes that {path} could name; leave out --names")
    if len(names) != classes:
        raise UsageError(
            f"{path} names {len(names)} classes and model '{model}' has {classes}: give one each"
        )


def _from_json(found: Any) -> list[str]:
    if isinstance(found, dict):
        found = found.get("id2label", found)
        if not isinstance(found, dict):
            raise ValueError("no names by index")
        by_index = {int(index): name for index, name in found.items()}
        found = [by_index[index] for index in range(len(by_index))] if _counted(by_index) else None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise ValueError("no names")
    return found


def _counted(by_index: dict[int, Any]) -> bool:
    return sorted(by_index) == list(range(len(by_index)))
