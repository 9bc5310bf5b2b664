"""The rules a person gives, and when what each is about is the case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from pipeline.events.memory import distance_to_last, distance_to_mean
from pipeline.events.polygon import Point, check_polygon, foot, inside
from pipeline.events.schedule import Schedule

MOST_RULES = 32
# What an event tells of.
_MOST_BOXES = 16
_DAY_S = 86_400.0
MOST_CLIP_S = 60.0

Object: TypeAlias = Mapping[str, Any]
Severity = Literal["info", "warning", "alarm"]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, le=_DAY_S)]


class Sight(NamedTuple):
    """What a rule sees in one result.

    Attributes:
        on: whether what it is about is the case.
        text: what is seen, for people.
        value: a count, score or distance; None where there is none.
        boxes: of what is counted, as results have them.
    """

    on: bool
    text: str
    value: float | None = None
    boxes: Sequence[Object] = ()


class Clip(BaseModel):
    """Seconds around an event's beginning that are cut from its source."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    before_s: Annotated[float, Field(ge=0, le=MOST_CLIP_S)] = 5.0
    after_s: Annotated[float, Field(ge=0, le=MOST_CLIP_S)] = 5.0


class Rule(BaseModel):
    """What all rules have.

    Attributes:
        source: kind of the objects it looks at: "result" or "status".
        wants_embedding: whether it says nothing of results without the pooled vector.
        what: which of the rules it is.
        name: tells the rules of a stream apart.
        severity: goes into its events.
        for_s: how long it must be the case before an event begins.
        gone_s: how long it must not be the case before the event ends.
        quiet_s: after an event's end none begins for so long.
        schedule: when it is in force; None for always.
        clip: what its events show of the source's video; None for no clip.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: ClassVar[str] = "result"
    wants_embedding: ClassVar[bool] = False

    what: str
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")] = Field(
        description="Small letters, digits and -."
    )
    severity: Severity = "info"
    for_s: Seconds = Field(
        default=0.0, title="Lasts, seconds", description="How long it must be so before an event begins."
    )
    gone_s: Seconds = Field(
        default=0.0, title="Gone, seconds", description="How long it must not be so before the event ends."
    )
    quiet_s: Seconds = Field(
        default=0.0, title="Quiet, seconds", description="After an event's end none begins for so long."
    )
    schedule: Schedule | None = Field(
        default=None, title="Schedule", description="When it is in force; always without."
    )
    clip: Clip | None = Field(
        default=None, title="Clip", description="Cut this of the source for each; none without."
    )

    @model_validator(mode="after")
    def _check_for(self) -> Rule:
        if self.schedule is not None and self.for_s >= self.schedule.longest_s:
            raise ValueError(
                f"for_s: its schedule is over after {self.schedule.longest_s:g} s at most, so no event could "
                "begin; lower for_s, or widen the schedule"
            )
        return self

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:
        """Looks at one result or status.

        Args:
            seen: it.
            on: whether its event is under way: what has hysteresis asks for less then.
            memory: kept from call to call as JSON; changed in place.

        Returns:
            None where it says nothing about this; all stays as it is then.
        """
        raise NotImplementedError


class _Level(Rule):
    """A figure that must reach a level, and fall below another.

    Attributes:
        above: event begins at this level.
        below: it ends under this one; None for the same.
    """

    above: Share = Field(description="Counts from here on.")
    below: Share | None = Field(
        default=None, description="Once an event is under way, counts down to here; as `above` without."
    )

    @model_validator(mode="after")
    def _check_below(self) -> _Level:
        if self.below is not None and self.below > self.above:
            raise ValueError(f"below: {self.below:g} is over above, {self.above:g}; hysteresis needs less")
        return self

    def _level(self, on: bool) -> float:
        return self.below if on and self.below is not None else self.above


class ThingRule(_Level):
    """Things in the picture: found boxes, what changed, or regions without a name.

    Attributes:
        when: "appears", or "disappears": were there before, and are no longer.
        names: of things that count; None for any.
        within: polygon in which they stand, by the middle of their lower edge; None for the whole picture.
        at_least: how many there must be.
    """

    what: Literal["box", "changed", "region"]
    when: Literal["appears", "disappears"] = "appears"
    names: Annotated[list[Name], Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="Of things that count, such as person; any without."
    )
    within: Annotated[list[Point], AfterValidator(lambda points: check_polygon(points) or points)] | None = (
        Field(default=None, description="Polygon in 0..1 in which they stand, by their lower edge's middle.")
    )
    at_least: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=1, title="At least", description="How many there must be."
    )
    above: Share = Field(default=0.0, description="Score from which a thing counts.")

    @model_validator(mode="after")
    def _check_names(self) -> ThingRule:
        if self.what == "region" and self.names is not None:
            raise ValueError("names: regions have no names; take what: box")
        return self

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:
        """See `Rule`."""
        things = self._things(seen)
        if things is None:
            return None
        # Of things that disappear, those that are still there are to be hard to see, not to be sure.
        gone = self.when == "disappears"
        level = self._level(on != gone)
        found = [thing for thing in things if self._counts(thing, level)]
        enough = len(found) >= self.at_least
        if not gone:
            return Sight(enough, _counted(found, self.what), len(found), found[:_MOST_BOXES])
        if enough:
            memory["seen"] = True
        missing = " or ".join(self.names or ["anything"])
        return Sight(not enough and "seen" in memory, f"no more {missing}", len(found), found[:_MOST_BOXES])

    def _things(self, seen: Object) -> Sequence[Object] | None:
        if self.what == "changed":
            return seen.get("changed")
        prediction = seen.get("prediction") or {}
        found: Sequence[Object] | None = prediction.get("boxes" if self.what == "box" else "regions")
        return found

    def _counts(self, thing: Object, level: float) -> bool:
        return (
            thing.get("score", 1.0) >= level
            and (self.names is None or thing.get("name") in self.names)
            and (self.within is None or inside(foot(thing), self.within))
        )


class ZoneRule(Rule):
    """The state of a zone.

    Attributes:
        zone: its name.
        state: that it is about; "unknown" for when it cannot be told.
    """

    what: Literal["zone"]
    zone: Name
    state: Name

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:  # noqa: ARG002
        """See `Rule`."""
        zone = (seen.get("zones") or {}).get(self.zone)
        if zone is None or (zone["state"] == "unknown" != self.state):
            return None
        return Sight(zone["state"] == self.state, f"{self.zone} {zone['state']}", zone.get("distance"))


class LabelRule(_Level):
    """The score of a class.

    Attributes:
        label: its name.
    """

    what: Literal["label"]
    label: Name

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:  # noqa: ARG002
        """See `Rule`."""
        labels = (seen.get("prediction") or {}).get("labels")
        if labels is None:
            return None
        # Results have the best labels only: one that is not among them scores less than each of those.
        score = next((one["score"] for one in labels if one["label"] == self.label), 0.0)
        return Sight(score >= self._level(on), f"{self.label} {score:.2f}", score)


class NoveltyRule(_Level):
    """The embedding is far from what it was of late, by cosine distance.

    Attributes:
        memory_s: what "of late" means: the mean forgets at this pace, so what stays is new no longer.
    """

    wants_embedding: ClassVar[bool] = True

    what: Literal["novelty"]
    above: Annotated[float, Field(gt=0, le=2)] = Field(description="Cosine distance.")
    memory_s: Annotated[float, Field(gt=0, le=_DAY_S)] = Field(
        default=60.0, title="Memory, seconds", description="How far back it is compared."
    )

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:
        """See `Rule`."""
        embedding = (seen.get("prediction") or {}).get("embedding")
        distance = None if embedding is None else distance_to_mean(embedding, seen, memory, self.memory_s)
        return None if distance is None else Sight(distance >= self._level(on), "unusual", round(distance, 4))


class CutRule(_Level):
    """The picture is another one at once: the embedding jumps from one result to the next."""

    wants_embedding: ClassVar[bool] = True

    what: Literal["cut"]
    above: Annotated[float, Field(gt=0, le=2)] = Field(default=0.5, description="Cosine distance.")
    for_s: Annotated[float, Field(ge=0, le=0)] = Field(
        default=0.0, title="Lasts, seconds", description="A cut does not last."
    )

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:
        """See `Rule`."""
        embedding = (seen.get("prediction") or {}).get("embedding")
        distance = None if embedding is None else distance_to_last(embedding, memory)
        if distance is None:
            return None
        return Sight(distance >= self._level(on), "scene cut", round(distance, 4))


class StreamRule(Rule):
    """The stream itself is lost or degraded.

    Attributes:
        states: that count.
    """

    source: ClassVar[str] = "status"

    what: Literal["stream"]
    states: Annotated[list[Literal["failed", "reconnecting", "degraded", "ended"]], Field(min_length=1)] = (
        Field(default=["failed", "reconnecting", "degraded"])
    )

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:  # noqa: ARG002
        """See `Rule`."""
        state = seen.get("state")
        if state in (None, "starting", "paused"):
            # On its way from one to the other: it is neither well nor lost.
            return None
        reason = seen.get("reason")
        return Sight(state in self.states, f"{state}: {reason}" if reason else str(state))


class GuardRule(Rule):
    """The guard cannot hold what was promised."""

    source: ClassVar[str] = "status"

    what: Literal["guard"]

    def look(self, seen: Object, on: bool, memory: dict[str, Any]) -> Sight | None:  # noqa: ARG002
        """See `Rule`."""
        guard = seen.get("guard")
        return None if guard is None else Sight(guard == "unable", f"guard {guard}")


AnyRule = Annotated[
    ThingRule | ZoneRule | LabelRule | NoveltyRule | CutRule | StreamRule | GuardRule,
    Field(discriminator="what"),
]


def _of_different_names(rules: list[AnyRule]) -> list[AnyRule]:
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            raise ValueError(f"two rules are called {name!r}; give one another name")
    return rules


Rules = Annotated[list[AnyRule], Field(max_length=MOST_RULES), AfterValidator(_of_different_names)]


def _counted(found: Sequence[Object], what: str) -> str:
    nameless = "region" if what == "region" else "unknown"
    counts = Counter(str(thing.get("name", nameless)) for thing in found)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common(5)) or "nothing"
