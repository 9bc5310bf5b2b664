"""Names for what changed on a fixed camera, by a few boxes that a person drew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.boxes import Bounded, Box
from pipeline.errors import UsageError
from pipeline.outputs.files import write_json
from pipeline.results import CHANGED, UNKNOWN
from pipeline.scene.learned_file import check_seen_alike, load, understood

if TYPE_CHECKING:
    from pipeline.frame import Geometry
    from pipeline.reading import PatchFeatures

# Marks an example of what is none of the names.
NOT_THIS = "not this"

_FORMAT = "vwt-classes/1"
MAX_NAMES = 16
_MAX_OTHERS, _MAX_WIDTH, _MAX_NAME, _MAX_ORIGIN = 64, 8192, 64, 100
_DECIMALS = 5

Vector = npt.NDArray[np.float32]


class Told(NamedTuple):
    """What a box is: a name, or unknown, and its cosine to the nearest name, 0..1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """A name, and what things of that name look like.

    Attributes:
        mean: (C,) of unit length: that of its examples.
        examples: how many.
        least: cosine to the mean below which a thing is unknown.
        right: share of its examples that the others tell to be of this name, 0..1.
    """

    mean: Vector
    examples: int
    least: float
    right: float


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Names for boxes, for what one model takes from pictures of one size.

    Attributes:
        model: its name.
        seen_as: width, height and fit of its input.
        centre: (C,) what patches are on average, which says nothing of any thing.
        names: at least one.
        others: (M, C) of unit length: examples of what is none of the names.
        drawn_for: the stream that they were drawn for and go on being learned for; None in a file.
    """

    model: str
    seen_as: str
    centre: Vector
    names: Mapping[str, Named]
    others: npt.NDArray[np.float32]
    drawn_for: str | None = None

    def check_model(self, model: str, seen_as: str) -> None:
        """Refuses a model, or an input of it, that they were not learned with."""
        check_seen_alike("classes", (self.model, self.seen_as), (model, seen_as))

    def named(
        self, boxes: Sequence[Box], values: PatchFeatures | None, geometry: Geometry, patch_size: int
    ) -> list[Box]:
        """The boxes with names; unknown where none is near, or nothing was seen of one.

        Args:
            boxes: of the frame.
            values: (rows, columns, C) of unit length, see `FrameOutput`; None where they are not known.
            geometry: of the frame.
            patch_size: in pixels of the model's input.
        """
        found = []
        for box in boxes:
            seen = None if values is None else pooled(values, self.centre, box, geometry, patch_size)
            name, score = Told(UNKNOWN, 0.0) if seen is None else self.told(seen)
            found.append(replace(box, name=name, score=score))
        return found

    def told(self, seen: Vector) -> Told:
        """What something is by what it looks like, (C,) of unit length."""
        return told(seen, self.names, self.others)

    def without(self, name: str) -> Classes | None:
        """The same without a name, or for `NOT_THIS` without its examples; None where no name is left."""
        if name == NOT_THIS:
            return replace(self, others=self.others[:0])
        left = {one: named for one, named in self.names.items() if one != name}
        return replace(self, names=left) if left else None

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that files and the API have."""
        origin = {} if self.drawn_for is None else {"drawn_for": self.drawn_for}
        return {
            "format": _FORMAT,
            "model": self.model,
            "input": self.seen_as,
            "centre": _rounded(self.centre),
            "names": {
                name: {
                    "examples": one.examples,
                    "least": round(one.least, _DECIMALS),
                    "leave_one_out": round(one.right, 4),
                    "mean": _rounded(one.mean),
                }
                for name, one in self.names.items()
            },
            "not": [_rounded(other) for other in self.others],
            **origin,
        }

    @classmethod
    def from_dict(cls, given: Any) -> Classes:
        """Reads what `to_dict` made.

        Raises:
            UsageError: it is none, or cannot be right; says what of it.
        """
        return understood("classes", _FORMAT, given, cls._read)

    @classmethod
    def _read(cls, given: dict[str, Any]) -> Classes:
        centre = np.asarray(given["centre"], np.float32)
        if centre.ndim != 1 or not 0 < len(centre) <= _MAX_WIDTH or not np.isfinite(centre).all():
            raise UsageError("centre is no vector of finite numbers")
        names = {check_name(name): _named(name, one, len(centre)) for name, one in given["names"].items()}
        check_count(len(names), len(given["not"]))
        vectors = [_direction(one, len(centre), f"an example of {NOT_THIS}") for one in given["not"]]
        origin = given.get("drawn_for")
        if origin is not None and not (isinstance(origin, str) and len(origin) <= _MAX_ORIGIN):
            raise UsageError("drawn_for is no text, or too long")
        others = stacked(vectors, len(centre))
        return cls(str(given["model"]), str(given["input"]), centre, names, others, origin)

    def save(self, path: str | Path) -> None:
        """Writes a file that `load` reads; raises UsageError where it cannot be written."""
        write_json(self.to_dict(), path, "--out", indent=None)

    @classmethod
    def load(cls, path: str | Path) -> Classes:
        """Reads a file; raises UsageError where there is none, or what it holds cannot be used."""
        return load("classes", path, cls.from_dict)


def told(seen: Vector, names: Mapping[str, Named], others: npt.NDArray[np.float32]) -> Told:
    """See `Classes.told`."""
    alike = {name: float(seen @ one.mean) for name, one in names.items()}
    name = max(alike, key=alike.__getitem__)
    score = alike[name]
    other = float((others @ seen).max(initial=-1.0))
    known = score >= names[name].least and score > other
    return Told(name if known else UNKNOWN, min(max(score, 0.0), 1.0))


def pooled(
    values: PatchFeatures, centre: Vector, box: Bounded, geometry: Geometry, patch_size: int
) -> Vector | None:
    """(C,) of unit length: the mean of what is off the centre in a box, by how much of a patch it covers.

    Args:
        values: (rows, columns, C) of unit length, zeros where a patch was dropped.
        centre: (C,).
        box: in the picture.
        geometry: of the frame.
        patch_size: in pixels of the model's input.

    Returns:
        None where the model saw nothing of it.
    """
    seen = inside(values, box, geometry, patch_size)
    return None if seen is None else off(seen, centre)


def inside(values: PatchFeatures, box: Bounded, geometry: Geometry, patch_size: int) -> Vector | None:
    """(C,) the mean of what is in a box, see `pooled`; None where the model saw nothing of it."""
    rows, columns = values.shape[:2]
    x, width = (value * geometry.source_width * geometry.scale_x for value in (box.x, box.w))
    y, height = (value * geometry.source_height * geometry.scale_y for value in (box.y, box.h))
    across = _covered(x + geometry.offset_x, width, columns, patch_size)
    down = _covered(y + geometry.offset_y, height, rows, patch_size)
    part = np.ix_(*down.nonzero(), *across.nonzero())
    own = values[part]
    shares = np.outer(down, across)[part] * own.any(axis=2)
    if not shares.any():
        return None
    mean: Vector = (np.einsum("ij,ijc->c", shares, own) / shares.sum()).astype(np.float32)
    return mean


def off(mean: Vector, centre: Vector) -> Vector | None:
    """(C,) of unit length: where a mean lies from the centre; None where it is the same."""
    apart = mean - centre
    length = float(np.linalg.norm(apart))
    return None if length == 0 else apart / length


def check_name(name: Any) -> str:
    """Refuses a name that is none, or means something else."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise UsageError(f"a name has 1 to {_MAX_NAME} letters that can be shown, not {name!r:.80}")
    if name in (UNKNOWN, CHANGED, NOT_THIS):
        raise UsageError(f'"{name}" is said of what has no name; call it something else')
    return name


def check_count(names: int, others: int) -> None:
    """Refuses too few or too many names, and too many examples of none of them."""
    if not 0 < names <= MAX_NAMES:
        raise UsageError(f"{names} names: there may be 1 to {MAX_NAMES}")
    if others > _MAX_OTHERS:
        raise UsageError(f"{others} examples of {NOT_THIS}: there may be {_MAX_OTHERS}")


def stacked(vectors: Sequence[Vector], width: int) -> npt.NDArray[np.float32]:
    """(M, C), also of none."""
    return np.asarray(vectors, np.float32).reshape(-1, width)


def _named(name: str, given: Any, width: int) -> Named:
    least, right = float(given["least"]), float(given["leave_one_out"])
    if not (math.isfinite(least) and -1 <= least <= 1 and 0 <= right <= 1):
        raise UsageError(f"least or leave_one_out of {name} cannot be right")
    return Named(
        _direction(given["mean"], width, f"the mean of {name}"), int(given["examples"]), least, right
    )


def _direction(given: Any, width: int, what: str) -> Vector:
    vector = np.asarray(given, np.float32)
    if vector.shape != (width,):
        raise UsageError(f"{what} is no vector as long as the centre")
    if not np.isfinite(vector).all() or not vector.any():
        raise UsageError(f"{what} is not finite, or all zeros")
    return vector / np.linalg.norm(vector)


def _rounded(vector: Vector) -> list[float]:
    return [round(float(value), _DECIMALS) for value in vector]


def _covered(start: float, length: float, count: int, patch_size: int) -> npt.NDArray[np.float64]:
    """(count,): how much of each row or column of patches lies between two points, 0..1."""
    edges = np.arange(count + 1) * patch_size
    inside = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
    return inside.clip(0) / patch_size
