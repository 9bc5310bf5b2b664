"""Boxes that a person drew in a clip, with their names, as files have them."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.scene.classes import NOT_THIS, check_count, check_name

# Of a name; with fewer nobody can tell how far two things of it may differ.
FEWEST, ENOUGH = 2, 5
_MAX_EXAMPLES = 1024
_SIDES = ("x", "y", "w", "h")
_FIELDS = ("time", *_SIDES, "name")
_FORMS = 'CSV with the columns time,x,y,w,h,name, or a JSON list of {"time", "box": [x, y, w, h], "name"}'


@dataclass(frozen=True, slots=True)
class Example:
    """A box that a person drew, in a frame of a clip; `box.name` is what it is, or `NOT_THIS`.

    Attributes:
        at_s: when the frame is shown, as results have it in `pts_s`.
        box: in 0..1 of the picture.
    """

    at_s: float
    box: Box


def read_examples(path: str | Path) -> list[Example]:
    """Reads boxes from a file.

    Args:
        path: JSON, a list of {"time", "box": [x, y, w, h], "name"}, or CSV whose first line names the columns
            time, x, y, w, h and name.

    Raises:
        UsageError: it cannot be read, or one of them is no box; says which.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"cannot read boxes from {path}: {error.strerror}; give {_FORMS}") from None
    except ValueError:
        raise UsageError(f"cannot read boxes from {path}: it is no text in UTF-8; save it as that") from None
    rows = _from_json(text, path) if text.lstrip()[:1] in ("[", "{") else _from_csv(text, path)
    if not rows:
        raise UsageError(f"there is no box in {path}; give {_FORMS}")
    if len(rows) > _MAX_EXAMPLES:
        raise UsageError(f"there are {len(rows)} boxes in {path}: leave some out, {_MAX_EXAMPLES} may be")
    return [_example(row, where) for where, row in rows]


def _from_json(text: str, path: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """Where each is, for errors, and its fields."""
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        at = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"cannot read boxes from {path}: it is no JSON from {at} on") from None
    except (ValueError, RecursionError):
        raise UsageError(f"cannot read boxes from {path}: it is no JSON that can be read") from None
    if not isinstance(rows, list):
        raise UsageError(f"cannot read boxes from {path}: it is one object; give {_FORMS}")
    found = []
    for number, row in enumerate(rows, 1):
        where = f"box {number} of {path}"
        sides = row.get("box") if isinstance(row, dict) else None
        if not isinstance(sides, list) or len(sides) != len(_SIDES) or not {"time", "name"} <= row.keys():
            raise UsageError(f'{where} is not {{"time": seconds, "box": [x, y, w, h], "name": "..."}}')
        found.append((where, row | dict(zip(_SIDES, sides, strict=True))))
    return found


def _from_csv(text: str, path: str | Path) -> list[tuple[str, dict[str, Any]]]:
    """The same of CSV."""
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    columns = ",".join(_FIELDS)
    given = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    if text.strip() and not set(_FIELDS) <= set(given):
        first = text.strip().splitlines()[0]
        raise UsageError(
            f"cannot read boxes from {path}: its first line has to name the columns, {columns}, with commas "
            f"between them, and is {first[:60]!r}"
        )
    reader.fieldnames = given
    found = []
    for row in reader:
        where = f"line {reader.line_num} of {path}"
        missing = [name for name in _FIELDS if row[name] is None]
        if missing:
            raise UsageError(f"{where} has no {' and no '.join(missing)}: give {columns}")
        if None in row:
            raise UsageError(
                f"{where} has more values than there are columns: put a name with a comma in quotes"
            )
        found.append((where, row))
    return found


def check_examples(examples: Sequence[Example]) -> dict[str, int]:
    """How many there are of each name.

    Raises:
        UsageError: there are too few of a name, or too many names.
    """
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.box.name] = counts.get(example.box.name, 0) + 1
    if counts.keys() == {NOT_THIS}:
        raise UsageError(f'all boxes are "{NOT_THIS}": draw some of what has a name as well')
    check_count(len(counts.keys() - {NOT_THIS}), counts.get(NOT_THIS, 0))
    for name, count in counts.items():
        if count < FEWEST and name != NOT_THIS:
            raise UsageError(
                f"there is {count} box of {name}: give {FEWEST} at least, better {ENOUGH} or more of "
                "different things, or nobody can tell how far two of them may differ"
            )
    return counts


def _example(row: Mapping[str, Any], where: str) -> Example:
    at_s, x, y, w, h = (_number(row[name], name, where) for name in ("time", *_SIDES))
    if at_s < 0:
        raise UsageError(f"{where} is at {at_s:g} s: give seconds from the beginning of the clip")
    check_place((x, y, w, h), where)
    name = row["name"]
    try:
        return Example(at_s, Box(x, y, w, h, check_drawn(name), 1.0))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def check_place(sides: Sequence[float], where: str) -> None:
    """Refuses x, y, w, h that are no box in the picture; `where` names it for the error."""
    x, y, w, h = sides
    if w <= 0 or h <= 0:
        raise UsageError(f"{where} has a width of {w:g} and a height of {h:g}: give w and h above 0")
    if not (x >= 0 and x + w <= 1 + 1e-6 and y >= 0 and y + h <= 1 + 1e-6):
        raise UsageError(
            f"{where} is not inside the picture: x, y, w and h are in 0..1 of its width and height, not in "
            "pixels; divide by those"
        )


def check_drawn(name: Any) -> str:
    """Refuses what a drawn box cannot be called: neither a name nor `NOT_THIS`."""
    return name if name == NOT_THIS else check_name(name)


def _number(given: Any, name: str, where: str) -> float:
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if math.isfinite(value):
        return value
    such = "seconds from the beginning, such as 12.5" if name == "time" else "a number in 0..1, such as 0.25"
    raise UsageError(f"{where}: {name} is {given!r:.40}: give {such}")
