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
_FIELDS = ("time", "x", "y", "w", "h", "name")


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
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot read boxes from {path}: {reason}") from None
    if text.lstrip()[:1] in ("[", "{"):
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"cannot read boxes from {path}: {error}") from None
        if not isinstance(rows, list):
            raise UsageError(f'cannot read boxes from {path}: give a list of {{"time", "box", "name"}}')
    else:
        rows = list(csv.DictReader(text.splitlines()))
        missing = [field for field in _FIELDS if rows and field not in rows[0]]
        if missing:
            raise UsageError(
                f"cannot read boxes from {path}: its first line lacks {', '.join(missing)}; "
                f"give {','.join(_FIELDS)}"
            )
        rows = [row | {"box": [row[side] for side in "xywh"]} for row in rows]
    if not 0 < len(rows) <= _MAX_EXAMPLES:
        raise UsageError(f"there are {len(rows)} boxes in {path}: give 1 to {_MAX_EXAMPLES}")
    return [_example(row, f"box {number} of {path}") for number, row in enumerate(rows, 1)]


def check_examples(examples: Sequence[Example]) -> dict[str, int]:
    """How many there are of each name.

    Raises:
        UsageError: there are too few of a name, or too many names.
    """
    counts: dict[str, int] = {}
    for example in examples:
        counts[example.box.name] = counts.get(example.box.name, 0) + 1
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


def _example(row: Any, what: str) -> Example:
    try:
        at_s, (x, y, w, h) = float(row["time"]), (float(side) for side in row["box"])
        name = row["name"]
    except KeyError as error:
        raise UsageError(f'{what} has no {error}: give {{"time", "box", "name"}}') from None
    except (TypeError, ValueError):
        raise UsageError(f"{what} is no time in seconds with [x, y, w, h]: {row!s:.100}") from None
    if not (math.isfinite(at_s) and at_s >= 0):
        raise UsageError(f"{what} is at {at_s:g} s: give seconds from 0")
    if not (0 <= x < x + w <= 1 + 1e-6 and 0 <= y < y + h <= 1 + 1e-6):
        raise UsageError(
            f"{what} is not inside the picture: x, y, w and h are in 0..1 of its width and height"
        )
    return Example(at_s, Box(x, y, w, h, name if name == NOT_THIS else check_name(name), 1.0))
