"""Zones that people drew for a stream, with the examples they clicked, in Redis.

The spec of a stream has what follows from them, the means by which states are told (`pipeline.scene.zones`).
Here is what those are made of, so that an example may be added or taken back.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from pipeline.errors import UsageError
from pipeline.scene.means import FEWEST, learned
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Vector, Zone
from vocab.connection import RedisClient
from workers.contract.drawn_store import DrawnStore, packed, vector_of
from workers.contract.keys import StreamKeys
from workers.contract.messages import Example
from workers.contract.stream_spec import StreamSpec

# Of all states of a zone together.
MOST_EXAMPLES = 64


class Moment(NamedTuple):
    """What a zone looked like in one frame.

    Attributes:
        state: it was in, as somebody said.
        frame: its number in the stream.
        vector: (C,) of unit length.
    """

    state: str
    frame: int
    vector: Vector


@dataclass(frozen=True, slots=True, eq=False)
class DrawnZone:
    """A zone, and its moments so far.

    Attributes:
        polygon: where it is.
        states: that it may be in.
        examples: its moments, in the order they were recorded.
        model, seen_as: that gave them; None while there are none.
    """

    polygon: Polygon
    states: Sequence[str]
    examples: Sequence[Moment] = ()
    model: str | None = None
    seen_as: str | None = None

    def count(self, state: str) -> int:
        """How many moments of a state there are."""
        return sum(one.state == state for one in self.examples)

    def with_example(self, state: str, example: Example) -> DrawnZone:
        """The same with one more; where there are too many the oldest of the state that has most goes.

        Raises:
            UsageError: the frame was recorded before, or another model, or another input of it, gave those
                before.
        """
        # Two of one frame would tell each other right.
        if any(one.frame == example.frame for one in self.examples):
            raise UsageError(f"frame {example.frame} was recorded already; wait for the next one")
        seen = (example.model, example.seen_as)
        if self.examples and seen != (self.model, self.seen_as):
            raise UsageError(
                f"the examples so far are of {self.model} at {self.seen_as}, and the stream runs "
                f"{example.model} at {example.seen_as}: draw the zone anew"
            )
        kept = [*self.examples, Moment(state, example.frame, example.vector)]
        if len(kept) > MOST_EXAMPLES:
            most = max(self.states, key=self.count)
            del kept[[one.state for one in kept].index(most)]
        return replace(self, examples=kept, model=example.model, seen_as=example.seen_as)

    def without_newest(self) -> DrawnZone:
        """The same without the moment that came last."""
        return replace(self, examples=self.examples[:-1])

    def redrawn(self, polygon: Polygon, states: Sequence[str]) -> DrawnZone:
        """The same elsewhere, or with other states; moments stay where they still say something."""
        kept = [one for one in self.examples if one.state in states] if polygon == self.polygon else []
        return replace(self, polygon=polygon, states=states, examples=kept)

    def learned(self, name: str) -> Zone | None:
        """What follows from the moments; None while there are too few."""
        if any(self.count(state) < FEWEST for state in self.states):
            return None
        by_state = {
            state: [one.vector for one in self.examples if one.state == state] for state in self.states
        }
        return learned(name, self.polygon, by_state)

    def to_json(self) -> str:
        """What `from_json` reads."""
        moments = [(one.state, one.frame, packed(one.vector.tobytes())) for one in self.examples]
        return json.dumps(
            {
                "polygon": self.polygon.points,
                "states": list(self.states),
                "examples": moments,
                "model": self.model,
                "input": self.seen_as,
            }
        )

    @classmethod
    def from_json(cls, text: str | bytes) -> DrawnZone:
        """Reads what `to_json` made."""
        given = json.loads(text)
        examples = [Moment(state, frame, vector_of(vector)) for state, frame, vector in given["examples"]]
        return cls(Polygon.of(given["polygon"]), given["states"], examples, given["model"], given["input"])


class ZoneStore(DrawnStore[DrawnZone]):
    """The zones of one stream.

    Args:
        client, spec: see `DrawnStore`.
    """

    def __init__(self, client: RedisClient, spec: StreamSpec) -> None:
        key = StreamKeys(spec.id).zones
        super().__init__(client, spec, "zones", key, DrawnZone.from_json, DrawnZone.to_json)
