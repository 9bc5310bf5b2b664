"""Boxes with names, and when two of them are the same thing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

# Boxes that overlap by this much are the same thing; usual for detection (PASCAL VOC).
SAME_IOU = 0.5

_PLACES = ("x", "y", "w", "h")


class Bounded(Protocol):
    """Anything with a place in a picture: top left x, y and w, h in 0..1 of its width and height."""

    @property
    def x(self) -> float: ...

    @property
    def y(self) -> float: ...

    @property
    def w(self) -> float: ...

    @property
    def h(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Box:
    """A thing in the upright source picture.

    In 0..1 of that picture, since a stream is looked at in many sizes: preview, record and model input.

    Attributes:
        x, y: top left.
        w, h: width and height.
        name: what it is.
        score: how sure that is, 0..1.
        id: of the thing where it is followed from frame to frame; None where it is not.
    """

    x: float
    y: float
    w: float
    h: float
    name: str
    score: float
    id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As results have it; without an `id` where there is none."""
        out: dict[str, Any] = {"name": self.name, "score": round(self.score, 4)}
        out |= {place: round(getattr(self, place), 4) for place in _PLACES}
        if self.id is not None:
            out["id"] = self.id
        return out


_Any = TypeVar("_Any", bound=Bounded)


def iou(a: Bounded, b: Bounded) -> float:
    """What two boxes share of what they cover together, 0..1."""
    width = min(a.x + a.w, b.x + b.w) - max(a.x, b.x)
    height = min(a.y + a.h, b.y + b.h) - max(a.y, b.y)
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a.w * a.h + b.w * b.h - shared) if shared else 0.0


def f1(ours: Sequence[_Any], theirs: Sequence[_Any]) -> float:
    """F1 of the boxes found in both, 0..1; 1 where neither has any.

    Each of ours, in their order, is the same as the one of theirs not yet taken that it overlaps most, if by
    half or more. Those with names are the same only by the same name.
    """
    if not ours and not theirs:
        return 1.0
    left = list(theirs)
    for one in ours:
        alike = [other for other in left if _name(other) == _name(one)]
        best = max(alike, key=lambda other: iou(one, other), default=None)
        if best is not None and iou(one, best) >= SAME_IOU:
            left.remove(best)
    return 2 * (len(theirs) - len(left)) / (len(ours) + len(theirs))


def _name(one: Bounded) -> str | None:
    return getattr(one, "name", None)
