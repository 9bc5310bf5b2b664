"""Clips of events: awaited as an event begins, cut once the seconds after it have come."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.clips.packets import Cut, PacketRing, UncutError
from pipeline.events.engine import Engine, Event
from pipeline.events.rules import AnyRule, Clip, Object
from pipeline.events.times import clock_of

# Why a clip is not there yet.
AWAITED = "the seconds after it are awaited"
# A live source whose packets stop is not waited for.
_LATE_S = 5.0
_MOST_AWAITED = 16
_LOST = "its reader stopped before it was cut"

Write = Callable[[Event, Cut], str]


@dataclass(frozen=True, slots=True)
class _Awaited:
    event: Event
    since: float
    moment: float
    until: float


class EventClips:
    """The clips of one stream, so many awaited at a time.

    A clip that is done is told as the event once more, with `"state": "clip"`; so is one that cannot be had,
    with `clip_reason`.

    Args:
        rules: of the stream.
        packets: of its source; None for no clips.
        write: keeps what was cut for an event and gives where it is. What it raises as OSError or ValueError
            is told as the reason.
        without: why there are no clips, where there are no packets.
    """

    def __init__(
        self,
        rules: Sequence[AnyRule],
        packets: PacketRing | None,
        write: Write,
        without: str = "none are kept here",
    ) -> None:
        self._clips: dict[str, Clip] = {rule.name: rule.clip for rule in rules if rule.clip is not None}
        self._before_s = max((clip.before_s for clip in self._clips.values()), default=0.0)
        self._packets = packets
        self._write = write
        self._without = without
        self._awaited: dict[str, _Awaited] = {}
        # What was told of clips last, in case that could not be kept.
        self._last: dict[str, tuple[str | None, str | None]] = {}
        # Of what was awaited before, what there is to tell.
        self._left: list[tuple[Event, tuple[str | None, str | None]]] = []
        self._looked: float | None = None

    @property
    def waiting(self) -> list[Event]:
        """The events whose clips are not told yet, as JSON."""
        return [*(event for event, _ in self._left), *(one.event for one in self._awaited.values())]

    def resume(self, waiting: Sequence[Event]) -> None:
        """Goes on from what `waiting` was as it was last kept; of what is not awaited here it says so."""
        kept = {event["id"] for event in waiting}
        self._awaited = {name: one for name, one in self._awaited.items() if name in kept}
        left = [event for event in waiting if event["id"] not in self._awaited]
        self._left = [(event, self._last.get(event["id"], (None, _LOST))) for event in left]

    def begin(self, events: Sequence[Event], seen: Mapping[str, Any]) -> None:
        """Takes in what a result or status began, in place: each says why there is no clip yet, or none.

        Args:
            events: that begin or end with it.
            seen: the result or status.
        """
        moment = self._moment(seen)
        if moment is not None and seen.get("kind") != "status":
            self._looked = moment
        for event in events:
            clip = self._clips.get(event["rule"])
            if clip is None or event["state"] != "start":
                continue
            refusal = self._without if self._packets is None else self._packets.refusal
            if moment is None and refusal is None:
                refusal = "its frame has no time"
            if len(self._awaited) >= _MOST_AWAITED and refusal is None:
                refusal = f"{_MOST_AWAITED} clips are awaited already"
            event["clip_reason"] = refusal or AWAITED
            if refusal is None and moment is not None:
                since, until = moment - clip.before_s, moment + clip.after_s
                self._awaited[event["id"]] = _Awaited(dict(event), since, moment, until)
        self._forget()

    def due(self, engine: Engine, everything: bool = False) -> list[Event]:
        """Cuts what can be cut now, and gives those events once more.

        Args:
            engine: whose ends of the same events get what was told.
            everything: whether no more packets come.
        """
        found, self._left = self._left, []
        for name, one in list(self._awaited.items()):
            if everything or self._reached(one):
                del self._awaited[name]
                found.append((one.event, self._cut(one)))
        self._forget()
        self._last = {event["id"]: said for event, said in found}
        return [self._told(engine, event, *said) for event, said in found]

    def _cut(self, one: _Awaited) -> tuple[str | None, str | None]:
        assert self._packets is not None
        try:
            cut = self._packets.cut(one.since, one.moment, one.until)
            return self._write(one.event, cut), None
        except UncutError as error:
            return None, str(error)
        except OSError as error:
            return None, f"it cannot be written: {error.strerror or error}"
        except ValueError as error:
            return None, str(error)

    def _told(self, engine: Engine, event: Event, clip: str | None, reason: str | None) -> Event:
        known = {"clip": clip, "clip_reason": reason}
        engine.note(event["id"], known)
        return event | known | {"state": "clip"}

    def _reached(self, one: _Awaited) -> bool:
        assert self._packets is not None
        late = self._packets.live and time.time() > one.until + _LATE_S
        return late or self._packets.reached(one.moment, one.until)

    def _moment(self, seen: Object) -> float | None:
        """When something is by the times of packets."""
        if self._packets is not None and self._packets.live:
            return clock_of(seen)
        pts_s: float | None = seen.get("pts_s")
        return self._looked if seen.get("kind") == "status" else pts_s

    def _forget(self) -> None:
        """Lets go of packets that no event can want any more."""
        if self._packets is None or self._looked is None:
            return
        wanted = [one.since for one in self._awaited.values()]
        self._packets.forget_before(min([self._looked - self._before_s, *wanted]))
