"""Results in, events out: the same events for the same results, however often they are told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeAlias

from pipeline.events.rules import AnyRule, Object, Sight
from pipeline.events.times import clock_of, seconds_of

Event: TypeAlias = dict[str, Any]

_STATUS = "status"


@dataclass(slots=True)
class _Progress:
    """How far one rule has come; JSON as it is.

    Attributes:
        of: tells whether the rule is still the same.
        clock: seconds that passed in results so far; never goes back, as times of a file that loops do.
        at: time of the last result.
        turned: clock at which what is the case became the opposite of what was told; None where both agree.
        first: where that was.
        event: the start of the event that is under way.
        ended: clock at which the last event ended.
        memory: of the rule.
    """

    of: str
    clock: float = 0.0
    at: float | None = None
    turned: float | None = None
    first: dict[str, Any] | None = None
    event: Event | None = None
    ended: float | None = None
    memory: dict[str, Any] = field(default_factory=dict)


class Engine:
    """Evaluates the rules of one stream. What it keeps is bounded: an event, and at most a vector, per rule.

    Args:
        stream: its name, in the events.
        rules: of different names.
        state: as `state` gave it, to go on from there. Of a rule that was changed or removed since the event
            that was under way ends with the next result.
        salt: tells streams of one name apart in the ids.
    """

    def __init__(
        self, stream: str, rules: Sequence[AnyRule], state: Mapping[str, Any] | None = None, salt: str = ""
    ) -> None:
        self._stream = stream
        self._salt = salt
        self._rules = list(rules)
        known = {} if state is None else {name: _read(one) for name, one in state["rules"].items()}
        self._left: list[Event] = list([] if state is None else state["left"])
        self._progress: dict[str, _Progress] = {}
        for rule in rules:
            of = _fingerprint(rule)
            was = known.get(rule.name)
            self._progress[rule.name] = (
                known.pop(rule.name) if was is not None and was.of == of else _Progress(of)
            )
        self._left += [one.event for one in known.values() if one.event is not None]

    @property
    def under_way(self) -> list[Event]:
        """The starts of events that have not ended."""
        return [one.event for one in self._progress.values() if one.event is not None]

    def note(self, event: str, facts: Mapping[str, Any]) -> None:
        """Adds to what the end of an event that is under way will say; its start is told already."""
        for one in self._progress.values():
            if one.event is not None and one.event["id"] == event:
                one.event = {**one.event, **facts}

    def state(self) -> dict[str, Any]:
        """All it keeps, as JSON."""
        return {"rules": {name: asdict(one) for name, one in self._progress.items()}, "left": self._left}

    def feed(self, seen: Object) -> list[Event]:
        """Takes in the next result, or a status.

        Args:
            seen: a result as `FrameResult.to_dict` has it; or {"kind": "status", "state", "reason", "guard",
                "at" (Unix seconds), "frame"}.

        Returns:
            Events that begin or end with it, in the order of the rules. `snapshot` and `clip` are left to
            whoever can make them: what is set in a start is in its end, too.
        """
        kind = _STATUS if seen.get("kind") == _STATUS else "result"
        told = [_end(start, seen, None, "the rule was changed or removed") for start in self._left]
        self._left = []
        for rule in self._rules:
            if rule.source == kind:
                told += self._step(rule, self._progress[rule.name], seen)
        return told

    def finish(self, seen: Object, reason: str = "the stream ended") -> list[Event]:
        """Ends every event that is under way: nothing more comes.

        Args:
            seen: the last result or status.
            reason: why.
        """
        told = [_end(start, seen, None, reason) for start in (*self._left, *self.under_way)]
        self._left = []
        for one in self._progress.values():
            if one.event is not None:
                one.event, one.turned, one.ended = None, None, one.clock
        return told

    def _step(self, rule: AnyRule, one: _Progress, seen: Object) -> Iterator[Event]:
        at = seconds_of(seen)
        if at is not None:
            if one.at is not None and at > one.at:
                one.clock += at - one.at
            one.at = at
        under_way = one.event is not None
        sight = rule.look(seen, under_way, one.memory)
        now = clock_of(seen)
        if rule.schedule is not None and now is not None and not rule.schedule.covers(now):
            sight = Sight(False, "the schedule is over")
        if sight is None:
            return
        if sight.on == under_way:
            one.turned = None
            return
        if one.turned is None:
            one.turned, one.first = one.clock, _place(seen)
        waited = one.clock - one.turned
        if not under_way:
            quiet = one.ended is not None and one.clock - one.ended < rule.quiet_s
            if waited >= rule.for_s and not quiet:
                one.event, one.turned = self._start(rule, seen, sight, one.first), None
                yield one.event
        elif waited >= rule.gone_s:
            assert one.event is not None
            start, one.event, one.turned, one.ended = one.event, None, None, one.clock
            yield _end(start, seen, sight, None)

    def _start(self, rule: AnyRule, seen: Object, sight: Sight, first: Mapping[str, Any] | None) -> Event:
        place = _place(seen)
        # A stream may be lost more than once before its next frame.
        marker = seen["frame"] if rule.source == "result" else seen["at"]
        named = "\0".join((self._stream, self._salt, rule.name, repr(marker)))
        return {
            "stream": self._stream,
            "kind": "event",
            "id": hashlib.sha256(named.encode()).hexdigest()[:20],
            "rule": rule.name,
            "what": rule.what,
            "state": "start",
            **place,
            "severity": rule.severity,
            "text": sight.text,
            "value": sight.value,
            "boxes": [dict(box) for box in sight.boxes],
            "began": first,
            "snapshot": None,
            "clip": None,
        }


def _read(kept: Mapping[str, Any]) -> _Progress:
    # Another version may have written it.
    return _Progress(**{each.name: kept[each.name] for each in fields(_Progress) if each.name in kept})


def _end(start: Event, seen: Object, sight: Sight | None, reason: str | None) -> Event:
    place = _place(seen)
    end = start | place | {"state": "end", "began": {key: start[key] for key in place}, "boxes": []}
    if sight is not None:
        end |= {"text": sight.text, "value": sight.value}
    return end | {"duration_s": _between(end["began"], place), "reason": reason}


def _place(seen: Object) -> dict[str, Any]:
    return {"at": clock_of(seen), "pts_s": seen.get("pts_s"), "frame": seen.get("frame")}


def _between(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Seconds from one place to another; None where they are not known, or go back."""
    for key in ("at", "pts_s"):
        if one[key] is not None and other[key] is not None:
            passed = float(other[key] - one[key])
            return round(passed, 3) if passed >= 0 else None
    return None


def _fingerprint(rule: AnyRule) -> str:
    # What is cut of it changes nothing of when it begins or ends.
    text = json.dumps(rule.model_dump(mode="json", exclude={"clip"}), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
