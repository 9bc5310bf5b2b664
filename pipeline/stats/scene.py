"""What was seen of the scene over a run, in a line each."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.results import CHANGED, FrameResult


class SceneStats:
    """Counts boxes of what changed, and states of zones. Names, zones and states are few."""

    def __init__(self) -> None:
        self._looked = self._boxes = self._with_any = 0
        self._names: Counter[str] = Counter()
        self._zones: dict[str, Counter[str]] = {}
        self._turns: Counter[str] = Counter()
        self._last: dict[str, str] = {}

    def add(self, result: FrameResult) -> None:
        """Counts what was seen in a frame."""
        if result.changed is not None:
            self._looked += 1
            self._boxes += len(result.changed)
            self._with_any += bool(result.changed)
            self._names.update(box.name for box in result.changed)
        for name, zone in (result.zones or {}).items():
            self._zones.setdefault(name, Counter())[zone.state] += 1
            self._turns[name] += self._last.get(name, zone.state) != zone.state
            self._last[name] = zone.state

    def to_dict(self) -> dict[str, Any]:
        """What a JSON summary says of it: only of what was asked for."""
        found: dict[str, Any] = {}
        if self._looked:
            found["changed"] = {
                "frames": self._looked,
                "per_frame": round(self._boxes / self._looked, 3),
                "frames_with_any": self._with_any,
                "names": dict(self._names),
            }
        if self._zones:
            found["zones"] = {
                name: {"frames": dict(states), "changes": self._turns[name]}
                for name, states in self._zones.items()
            }
        return found

    def texts(self) -> list[tuple[str, str]]:
        """The same for people: a name and what came of it per line."""
        lines = []
        if self._looked:
            share = 100 * self._with_any / self._looked
            each = self._boxes / self._looked
            names = ", ".join(f"{name} {count}" for name, count in self._names.most_common())
            told = f": {names}" if self._names.keys() - {CHANGED} else ""
            lines.append(("changed", f"{each:.2g} per frame, some in {share:.0f} % of the frames{told}"))
        for name, states in self._zones.items():
            whole = states.total()
            parts = ", ".join(f"{state} {100 * n / whole:.0f} %" for state, n in states.most_common())
            lines.append(("zone", f"{name}: {parts}, {self._turns[name]} changes"))
        return lines
