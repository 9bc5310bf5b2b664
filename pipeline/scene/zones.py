"""Zones of a fixed camera's picture with states: a gate open or closed, a bay free or taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError
from pipeline.outputs.files import write_json
from pipeline.results import UNKNOWN, ZoneState
from pipeline.scene.learned_file import check_seen_alike, load, understood
from pipeline.scene.polygon import Polygon

if TYPE_CHECKING:
    from pipeline.frame import Geometry
    from pipeline.reading import PatchFeatures

_FORMAT = "vwt-zones/1"
MAX_ZONES = 16
_MAX_STATES, _MAX_WIDTH, _MAX_NAME, _MAX_TEXT = 8, 8192, 64, 1000
_MAX_EXAMPLES = 1_000_000
_DECIMALS = 5
# Of the largest number of a mean, which is of unit length as it is written.
_LEAST, _MOST = 1e-6, 1e6

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """A part of the picture and what it looks like in each state.

    Attributes:
        polygon: where it is.
        means: by state, (C,) of unit length: the mean of its examples.
        examples: by state, how many.
        unknown_from: distance (1 - cosine) to the nearest mean beyond which it is in none of the states.
        accuracy: balanced accuracy where each example is told by the others, 0..1.
    """

    polygon: Polygon
    means: Mapping[str, Vector]
    examples: Mapping[str, int]
    unknown_from: float
    accuracy: float

    def state(self, patches: PatchFeatures, geometry: Geometry, patch_size: int) -> ZoneState:
        """The state whose mean is nearest; unknown where none is near, or nothing was seen of the zone."""
        seen = self.polygon.pooled(patches, geometry, patch_size)
        return ZoneState(UNKNOWN, None) if seen is None else self.nearest(seen)

    def nearest(self, seen: Vector) -> ZoneState:
        """The same by what the zone looks like, (C,) of unit length."""
        far = {state: 1 - float(seen @ mean) for state, mean in self.means.items()}
        state = min(far, key=far.__getitem__)
        distance = max(far[state], 0.0)
        return ZoneState(state if distance <= self.unknown_from else UNKNOWN, distance)

    def to_dict(self) -> dict[str, Any]:
        """As the file has it."""
        return {
            "polygon": [list(point) for point in self.polygon.points],
            "unknown_from": round(self.unknown_from, _DECIMALS + 1),
            "leave_one_out": round(self.accuracy, 4),
            "states": {
                name: {
                    "examples": self.examples[name],
                    "mean": [round(float(value), _DECIMALS) for value in mean],
                }
                for name, mean in self.means.items()
            },
        }


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """Zones by name, for what one model gives of pictures of one size.

    Attributes:
        model: its name.
        seen_as: width, height and fit of its input.
        zones: at least one.
    """

    model: str
    seen_as: str
    zones: Mapping[str, Zone]

    def check_model(self, model: str, seen_as: str) -> None:
        """Refuses a model, or an input of it, that they were not learned with."""
        check_seen_alike("zones", (self.model, self.seen_as), (model, seen_as))

    def to_dict(self) -> dict[str, Any]:
        """The JSON object that files and the API have."""
        zones = {name: zone.to_dict() for name, zone in self.zones.items()}
        return {"format": _FORMAT, "model": self.model, "input": self.seen_as, "zones": zones}

    @classmethod
    def from_dict(cls, given: Any) -> Zones:
        """Reads what `to_dict` made.

        Raises:
            UsageError: it is none, or cannot be right; says what of it.
        """

        def read(given: dict[str, Any]) -> Zones:
            zones = {check_name(name, "zone"): _zone(name, one) for name, one in given["zones"].items()}
            if not 0 < len(zones) <= MAX_ZONES:
                raise UsageError(f"{len(zones)} zones: there may be 1 to {MAX_ZONES}")
            return cls(_text(given["model"]), _text(given["input"]), zones)

        return understood("zones", _FORMAT, given, read)

    def save(self, path: str | Path) -> None:
        """Writes a file that `load` reads; raises UsageError where it cannot be written."""
        write_json(self.to_dict(), path, "--out", indent=None)

    @classmethod
    def load(cls, path: str | Path) -> Zones:
        """Reads a file; raises UsageError where there is none, or what it holds cannot be used."""
        return load("zones", path, cls.from_dict)


def check_name(name: Any, what: str) -> str:
    """Refuses a name that is none, or means something else."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME or not name.isprintable():
        raise UsageError(f"a {what}'s name has 1 to {_MAX_NAME} letters that can be shown, not {name!r:.80}")
    if what == "state" and name == UNKNOWN:
        raise UsageError(f'"{UNKNOWN}" is what is said where no state is near; call the state something else')
    return name


def _text(given: Any) -> str:
    if not isinstance(given, str) or len(given) > _MAX_TEXT:
        raise UsageError(f"model and input are texts, not {given!s:.80}")
    return given


def check_states(zone: str, states: Sequence[str]) -> None:
    """Refuses a zone with one state, or too many."""
    if not 2 <= len(states) <= _MAX_STATES:
        raise UsageError(f"zone {zone} has {len(states)} states: give 2 to {_MAX_STATES}")


def _zone(name: str, given: Any) -> Zone:
    states = {check_name(state, "state"): own for state, own in given["states"].items()}
    check_states(name, list(states))
    means = {state: np.asarray(own["mean"], np.float64) for state, own in states.items()}
    widths = {mean.shape for mean in means.values()}
    if len(widths) != 1 or any(len(shape) != 1 or not 0 < shape[0] <= _MAX_WIDTH for shape in widths):
        raise UsageError(f"the means of zone {name} are no vectors of one length")
    if not all(_LEAST <= np.abs(mean).max() <= _MOST for mean in means.values()):
        raise UsageError(f"a mean of zone {name} is not finite, or next to zero")
    unknown_from, accuracy = float(given["unknown_from"]), float(given["leave_one_out"])
    if not (math.isfinite(unknown_from) and unknown_from >= 0 and 0 <= accuracy <= 1):
        raise UsageError(f"unknown_from or leave_one_out of zone {name} cannot be right")
    examples = {state: int(own["examples"]) for state, own in states.items()}
    if not all(0 < count <= _MAX_EXAMPLES for count in examples.values()):
        raise UsageError(f"a state of zone {name} has 1 to {_MAX_EXAMPLES} examples")
    return Zone(
        Polygon.of(given["polygon"]),
        {state: (mean / np.linalg.norm(mean)).astype(np.float32) for state, mean in means.items()},
        examples,
        unknown_from,
        accuracy,
    )
