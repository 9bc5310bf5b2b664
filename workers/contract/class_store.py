"""Boxes that people drew for a stream, by what they were said to be, in Redis; see `drawn_store`.

The spec of a stream has what follows from them, the prototypes by which boxes are named
(`pipeline.scene.classes`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.boxes import SAME_IOU, Box, iou
from pipeline.errors import UsageError
from pipeline.scene.classes import NOT_THIS, Classes
from pipeline.scene.drawn_boxes import FEWEST
from pipeline.scene.prototypes import judged
from vocab.connection import RedisClient
from workers.contract.drawn_store import DrawnStore, Vector, packed, vector_of
from workers.contract.keys import StreamKeys
from workers.contract.messages import BoxExample
from workers.contract.stream_spec import StreamSpec

# Of a name, and of what is none.
MOST_BOXES = 32


class DrawnBox(NamedTuple):
    """A box that somebody drew in a frame.

    Attributes:
        id: of it, within the stream.
        box: in 0..1 of the picture.
        frame: its number in the stream.
        vector, whole, jpeg: see `BoxExample`.
    """

    id: str
    box: Box
    frame: int
    vector: Vector
    whole: Vector
    jpeg: bytes


@dataclass(frozen=True, slots=True, eq=False)
class DrawnName:
    """A name, and the boxes of it so far, in the order they were drawn.

    Attributes:
        model, seen_as: that saw them.
        boxes: at least one.
    """

    model: str
    seen_as: str
    boxes: Sequence[DrawnBox]

    def without(self, box: str) -> DrawnName | None:
        """The same without one box; None where that was the last."""
        kept = [one for one in self.boxes if one.id != box]
        return DrawnName(self.model, self.seen_as, kept) if kept else None

    def to_json(self) -> str:
        """What `from_json` reads."""
        boxes = [
            {
                "id": one.id,
                "box": one.box.to_dict(),
                "frame": one.frame,
                "vector": packed(one.vector.tobytes()),
                "whole": packed(one.whole.tobytes()),
                "jpeg": packed(one.jpeg),
            }
            for one in self.boxes
        ]
        return json.dumps({"model": self.model, "input": self.seen_as, "boxes": boxes})

    @classmethod
    def from_json(cls, text: str | bytes) -> DrawnName:
        """Reads what `to_json` made."""
        given = json.loads(text)
        return cls(given["model"], given["input"], [_box(one) for one in given["boxes"]])


class ClassStore(DrawnStore[DrawnName]):
    """The drawn boxes of one stream, by name, also by `NOT_THIS`.

    Args:
        client, spec: see `DrawnStore`.
    """

    def __init__(self, client: RedisClient, spec: StreamSpec) -> None:
        key = StreamKeys(spec.id).classes
        super().__init__(client, spec, "classes", key, DrawnName.from_json, DrawnName.to_json)


def with_box(present: DrawnName | None, id: str, box: Box, example: BoxExample) -> DrawnName:
    """A name with one more box; where there are too many the oldest goes.

    Args:
        present: the name so far; None where it is new.
        id: of the box.
        box: where it is, with the name.
        example: what it looked like.

    Raises:
        UsageError: it was drawn there before.
    """
    drawn = () if present is None else present.boxes
    # Two of one thing in one frame would tell each other right.
    if any(one.frame == example.frame and iou(one.box, box) >= SAME_IOU for one in drawn):
        raise UsageError(
            f"frame {example.frame} has a box of {box.name} there already; draw one around another thing, "
            "or in a later frame"
        )
    new = DrawnBox(id, box, example.frame, example.vector, example.whole, example.jpeg)
    return DrawnName(example.model, example.seen_as, [*drawn, new][-MOST_BOXES:])


def learned(drawn: Mapping[str, DrawnName]) -> tuple[Classes | None, dict[str, str]]:
    """What follows from the boxes, names with too few left out, and what the others say of each.

    Returns:
        The names, None while all have too few; and by id of a box what it is said to be, of those that count
        for a name.
    """
    enough = _enough(drawn)
    if not enough.keys() - {NOT_THIS}:
        return None, {}
    first = next(iter(enough.values()))
    # Also what has too few boxes shows what the frames are on average.
    wholes = {box.frame: box.whole for one in drawn.values() for box in one.boxes}
    looks = {name: [box.vector for box in one.boxes] for name, one in enough.items()}
    made, said = judged(first.model, first.seen_as, looks, list(wholes.values()))
    told = {
        box.id: name
        for own, names in said.items()
        for box, name in zip(enough[own].boxes, names, strict=True)
    }
    return made, told


def _enough(drawn: Mapping[str, DrawnName]) -> dict[str, DrawnName]:
    return {name: one for name, one in drawn.items() if name == NOT_THIS or len(one.boxes) >= FEWEST}


def _box(given: Mapping[str, Any]) -> DrawnBox:
    return DrawnBox(
        given["id"],
        Box(**given["box"]),
        given["frame"],
        vector_of(given["vector"]),
        vector_of(given["whole"]),
        base64.b64decode(given["jpeg"]),
    )
