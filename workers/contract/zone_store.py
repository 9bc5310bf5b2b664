"""Zones that people drew for a stream, with the examples they clicked, in Redis.

The spec of a stream has what follows from them, the means by which states are told (`pipeline.scene.zones`).
Here is what those are made of, so that an example may be added or taken back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import UsageError
from pipeline.scene.means import FEWEST, learned
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Vector, Zone
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.redis_memory import EVEN_WHEN_FULL
from workers.contract.keys import StreamKeys
from workers.contract.messages import ZoneExample
from workers.contract.stream_life import generation
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import NoStreamError

# Of all states of a zone together.
MOST_EXAMPLES = 64

# Compare and set for the generation that is there; taking away must not fail when Redis is full.
_REPLACE = (
    EVEN_WHEN_FULL.format(key="KEYS[1]")
    + """
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return -1 end
if redis.call('HEXISTS', KEYS[1], 'gone') == 1 then return -1 end
if (redis.call('HGET', KEYS[2], ARGV[2]) or '') ~= ARGV[3] then return 0 end
if ARGV[4] == '' then redis.call('HDEL', KEYS[2], ARGV[2])
else redis.call('HSET', KEYS[2], ARGV[2], ARGV[4]) end
return 1
"""
)


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

    def with_example(self, state: str, example: ZoneExample) -> DrawnZone:
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
        moments = [
            (one.state, one.frame, base64.b64encode(one.vector.tobytes()).decode()) for one in self.examples
        ]
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
        examples = [
            Moment(state, frame, np.frombuffer(base64.b64decode(vector), np.float32))
            for state, frame, vector in given["examples"]
        ]
        return cls(Polygon.of(given["polygon"]), given["states"], examples, given["model"], given["input"])


class ZoneStore:
    """What was drawn for one stream. Every method raises StoreUnavailable when Redis cannot do it now.

    Args:
        client: as `vocab.connection.connect` gives it; used from any thread.
        spec: of the stream: nothing is written for one that was removed, or has come after it.
    """

    def __init__(self, client: RedisClient, spec: StreamSpec) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._keys = StreamKeys(spec.id)
        self._spec = spec

    def all(self) -> dict[str, DrawnZone]:
        """Every zone by name."""
        with redis_errors(f"read the zones of {self._spec.id}", self._where):
            found: Mapping[bytes, bytes] = self._client.hgetall(self._keys.zones)
        return {name.decode(): DrawnZone.from_json(text) for name, text in sorted(found.items())}

    def change(self, name: str, change: Callable[[DrawnZone | None], DrawnZone | None]) -> DrawnZone | None:
        """Changes a zone, however many do so at once.

        Args:
            name: of the zone.
            change: gives the new one of the present one, None for none; may be called again.

        Raises:
            NoStreamError: the stream was removed.
        """
        while True:
            with redis_errors(f"change the zones of {self._spec.id}", self._where):
                before = self._client.hget(self._keys.zones, name)
            made = change(None if before is None else DrawnZone.from_json(before))
            texts = (before or "", "" if made is None else made.to_json())
            keys = (self._keys.last, self._keys.zones)
            with redis_errors(f"change the zones of {self._spec.id}", self._where):
                done = self._client.eval(_REPLACE, len(keys), *keys, generation(self._spec), name, *texts)
            if done < 0:
                raise NoStreamError(f"the stream {self._spec.id!r} was removed meanwhile")
            if done:
                return made
