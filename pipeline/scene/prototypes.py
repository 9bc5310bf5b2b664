"""What names stand for by what drawn boxes look like, judged by leaving out one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.errors import UsageError
from pipeline.scene.classes import NOT_THIS, Classes, Named, Vector, inside, off, stacked, told
from pipeline.scene.drawn_boxes import FEWEST

if TYPE_CHECKING:
    from pipeline.frame import Geometry
    from pipeline.reading import PatchFeatures

# Examples may all be of one moment; what is as alike as this has their name still.
_SURELY = 0.8


def look_inside(values: PatchFeatures, box: Box, geometry: Geometry, patch_size: int) -> Vector:
    """(C,) the mean of what is in a drawn box, see `pipeline.scene.classes.inside`.

    Raises:
        UsageError: the model sees nothing of it.
    """
    seen = inside(values, box, geometry, patch_size)
    if seen is None:
        raise UsageError(
            f"the model sees nothing of a box of {box.name}: its input is cropped; give --fit native"
        )
    return seen


def whole(values: PatchFeatures) -> Vector:
    """(C,) the mean of all patches of a frame."""
    mean: Vector = values.mean(axis=(0, 1), dtype=np.float32)
    return mean


def classes_of(
    model: str, seen_as: str, examples: Mapping[str, Sequence[Vector]], wholes: Sequence[Vector]
) -> Classes:
    """Names by what drawn boxes look like.

    Args:
        model: that saw them.
        seen_as: its input.
        examples: by name, also by `NOT_THIS`, (C,) each as `look_inside` gives it.
        wholes: of each frame that was drawn in, (C,) as `whole` gives it.

    Raises:
        UsageError: a box is as the frames are on average.
    """
    return judged(model, seen_as, examples, wholes)[0]


def judged(
    model: str, seen_as: str, examples: Mapping[str, Sequence[Vector]], wholes: Sequence[Vector]
) -> tuple[Classes, dict[str, list[str]]]:
    """The same, and by name what each example is said to be by the others."""
    centre: Vector = np.mean(wholes, axis=0, dtype=np.float32)
    directions: dict[str, list[Vector]] = {name: [] for name in examples}
    for name, own in examples.items():
        for mean in own:
            direction = off(mean, centre)
            if direction is None:
                raise UsageError(
                    f"a box of {name} shows no more than the whole picture does: draw it around one thing"
                )
            directions[name].append(direction)
    others = stacked(directions.pop(NOT_THIS, []), len(centre))
    said = _told_by_others(directions, others)
    return Classes(model, seen_as, centre, _names(directions, said), others), said


def learned_names(
    examples: Mapping[str, Sequence[Vector]], others: npt.NDArray[np.float32]
) -> dict[str, Named]:
    """Means and thresholds by examples, judged by leaving out one after the other.

    Args:
        examples: by name, (C,) of unit length each.
        others: (M, C), examples of what is none of the names.
    """
    return _names(examples, _told_by_others(examples, others))


def _names(examples: Mapping[str, Sequence[Vector]], said: Mapping[str, Sequence[str]]) -> dict[str, Named]:
    return {
        name: replace(_of(own), right=said[name].count(name) / len(own)) for name, own in examples.items()
    }


def _told_by_others(
    examples: Mapping[str, Sequence[Vector]], others: npt.NDArray[np.float32]
) -> dict[str, list[str]]:
    """What each example is said to be where it is left out of what is learned."""
    names = {name: _of(own) for name, own in examples.items()}
    found: dict[str, list[str]] = {}
    for name, own in examples.items():
        rests = ([*own[:row], *own[row + 1 :]] for row in range(len(own)))
        found[name] = [
            told(one, names | {name: _of(rest)}, others).name for one, rest in zip(own, rests, strict=True)
        ]
    return found


def _of(own: Sequence[Vector]) -> Named:
    """Unknown is what is less like the mean than examples are like that of the others, by a deviation."""
    each = np.asarray(own, np.float32)
    total: Vector = each.sum(axis=0)
    mean = total / max(float(np.linalg.norm(total)), 1e-12)
    if len(own) < FEWEST:
        return Named(mean, len(own), -1.0, 0.0)
    rests = total - each
    alike = (each * rests).sum(axis=1) / np.linalg.norm(rests, axis=1).clip(1e-12)
    least = float(np.mean(alike) - np.std(alike, ddof=1))
    return Named(mean, len(own), min(max(least, 0.0), _SURELY), 0.0)
