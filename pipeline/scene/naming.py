"""Learns names from boxes that a person drew in a clip."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame
from pipeline.models import Model
from pipeline.reading import PatchFeatures
from pipeline.scene.classes import NOT_THIS, Classes, Named, Vector, check_count, check_name, pooled, told
from pipeline.scene.scene import seen_as
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer

# Of a name; with fewer nobody can tell how far two things of it may differ.
FEWEST, ENOUGH = 2, 5
# Examples may all be of one moment; what is as alike as this has their name still.
_SURELY = 0.8
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


def values_of(model: Model, frames: Sequence[Frame]) -> list[PatchFeatures]:
    """(rows, columns, C) that attention took from the patches of each frame, run in full."""
    if model.patch_size is None:
        raise UsageError(f"model '{model.name}' has no patches to compare; names want a Vision Transformer")
    engine, found = Engine(model), []
    for frame in frames:
        part = Part([frame], FullTokenizer(), patches=True, values=True)
        (output,) = engine.submit_parts([part]).result().frames
        assert output.values is not None
        found.append(output.values)
    return found


def learned(
    model: Model, frames: Sequence[Frame], values: Sequence[PatchFeatures], boxes: Sequence[Sequence[Box]]
) -> Classes:
    """Names by drawn boxes.

    Args:
        model: that the values are of.
        frames: that were drawn in.
        values: of each frame.
        boxes: drawn in each, with their names.

    Raises:
        UsageError: the model sees nothing of a box.
    """
    assert model.patch_size is not None
    centre: Vector = np.mean([one.mean(axis=(0, 1)) for one in values], axis=0, dtype=np.float32)
    examples: dict[str, list[Vector]] = {}
    for frame, own, drawn in zip(frames, values, boxes, strict=True):
        for box in drawn:
            seen = pooled(own, centre, box, frame.geometry, model.patch_size)
            if seen is None:
                raise UsageError(
                    f"the model sees nothing of a box of {box.name}: its input is cropped; give --fit native"
                )
            examples.setdefault(box.name, []).append(seen)
    others = np.asarray(examples.pop(NOT_THIS, []), np.float32).reshape(-1, len(centre))
    names = learned_names(examples, others)
    return Classes(model.name, seen_as(model.input), centre, names, others)


def learned_names(
    examples: Mapping[str, Sequence[Vector]], others: npt.NDArray[np.float32]
) -> dict[str, Named]:
    """Means and thresholds by examples, judged by leaving out one after the other.

    Args:
        examples: by name, (C,) of unit length each.
        others: (M, C), examples of what is none of the names.
    """
    names = {name: _of(own) for name, own in examples.items()}
    right = {}
    for name, own in examples.items():
        hits = 0
        for left_out, example in enumerate(own):
            rest = [one for row, one in enumerate(own) if row != left_out]
            hits += told(example, names | {name: _of(rest)}, others).name == name
        right[name] = hits / len(own)
    return {name: Named(one.mean, one.examples, one.least, right[name]) for name, one in names.items()}


def _of(own: Sequence[Vector]) -> Named:
    """Unknown is what is less like the mean than examples are like that of the others, by a deviation."""
    mean = _mean(own)
    if len(own) < FEWEST:
        return Named(mean, len(own), -1.0, 0.0)
    alike = [
        float(one @ _mean([other for row, other in enumerate(own) if row != left_out]))
        for left_out, one in enumerate(own)
    ]
    least = float(np.mean(alike) - np.std(alike, ddof=1))
    return Named(mean, len(own), min(max(least, 0.0), _SURELY), 0.0)


def _mean(examples: Sequence[Vector]) -> Vector:
    total: Vector = np.sum(examples, axis=0, dtype=np.float32)
    return total / max(float(np.linalg.norm(total)), 1e-12)


def _example(row: Mapping[str, Any], where: str) -> Example:
    at_s, x, y, w, h = (_number(row[name], name, where) for name in ("time", *_SIDES))
    if at_s < 0:
        raise UsageError(f"{where} is at {at_s:g} s: give seconds from the beginning of the clip")
    if w <= 0 or h <= 0:
        raise UsageError(f"{where} has a width of {w:g} and a height of {h:g}: give w and h above 0")
    if not (x >= 0 and x + w <= 1 + 1e-6 and y >= 0 and y + h <= 1 + 1e-6):
        raise UsageError(
            f"{where} is not inside the picture: x, y, w and h are in 0..1 of its width and height, not in "
            "pixels; divide by those"
        )
    name = row["name"]
    try:
        return Example(at_s, Box(x, y, w, h, name if name == NOT_THIS else check_name(name), 1.0))
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _number(given: Any, name: str, where: str) -> float:
    try:
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if math.isfinite(value):
        return value
    such = "seconds from the beginning, such as 12.5" if name == "time" else "a number in 0..1, such as 0.25"
    raise UsageError(f"{where}: {name} is {given!r:.40}: give {such}")
