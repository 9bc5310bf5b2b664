"""What the rules of a run make of its results, with a picture and a clip of each event in a folder."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pipeline.clips.container import write_clip
from pipeline.clips.packets import Cut, PacketRing
from pipeline.events import AnyRule, Engine, Event
from pipeline.events.clips import EventClips
from pipeline.events.polygon import Point
from pipeline.events.snapshot import drawn, outlines, snapshot
from pipeline.frame import Frame
from pipeline.outputs.files import write_failure
from pipeline.results import FrameResult

# Pictures and clips of the newest events stay; older ones of the same run go.
MOST_PICTURES = 1000
MOST_CLIP_BYTES = 2 * 2**30


class RunEvents:
    """Evaluates rules over the results of a run, in their order.

    Args:
        stream: its name.
        rules: to evaluate.
        folder: for pictures (JPEG) and clips; made when it is not there; None for none.
        say: is told, in a line, of each event that begins.
        packets: of the source, where rules ask for clips.
        zones: polygons by name, for pictures.

    Attributes:
        counts: events that began, by rule.
        pictures: whether frames are wanted with their pictures.
    """

    def __init__(
        self,
        stream: str,
        rules: Sequence[AnyRule],
        folder: str | None,
        say: Callable[[str], None],
        packets: PacketRing | None = None,
        zones: Mapping[str, Sequence[Point]] = MappingProxyType({}),
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.pictures = folder is not None
        self._engine = Engine(stream, rules)
        self._rules, self._zones = rules, zones
        self._folder = None if folder is None else Path(folder)
        self._say = say
        self._clips = EventClips(rules, packets, self._write_clip, "there is no folder for it (--events)")
        self._written: deque[Path] = deque()
        self._cut: deque[tuple[Path, int]] = deque()
        self._last: dict[str, object] | None = None
        self._status: tuple[str, str | None] | None = None

    def add(
        self, result: FrameResult, frame: Frame | None, states: npt.NDArray[np.uint8] | None
    ) -> list[Event]:
        """Takes in the next result.

        Args:
            result: of the frame.
            frame: with its picture; None where no pictures are wanted.
            states: what became of its patches.

        Raises:
            VwtError: a picture cannot be written.
        """
        self._last = result.to_dict()
        told = self._engine.feed(self._last)
        started = [event for event in told if event["state"] == "start"]
        if self._folder is not None and started and frame is not None and frame.picture is not None:
            parts = outlines(started, self._rules, self._zones, self._last)
            jpeg = snapshot(frame.picture, frame.geometry, states, drawn(self._last), parts)
            for event in started:
                event["snapshot"] = str(self._write(event, jpeg))
        self._clips.begin(told, self._last)
        return self._told(told + self._clips.due(self._engine))

    def status(self, state: str, guard: str | None, frame: int) -> list[Event]:
        """Takes in what the stream and its guard do, where that has changed."""
        if self._status == (state, guard):
            return []
        self._status = state, guard
        seen = {"kind": "status", "state": state, "guard": guard, "at": time.time(), "frame": frame}
        told = self._engine.feed(seen)
        self._clips.begin(told, seen)
        return self._told(told + self._clips.due(self._engine))

    def finish(self) -> list[Event]:
        """Ends what is under way."""
        cut = self._clips.due(self._engine, everything=True)
        return [] if self._last is None else cut + self._engine.finish(self._last)

    def text(self) -> str:
        """What there was, in a line."""
        counted = ", ".join(f"{count} {rule}" for rule, count in self.counts.most_common()) or "none"
        if self._folder is None or not self._written:
            return counted
        return f"{counted}; pictures {'and clips ' if self._cut else ''}in {self._folder}"

    def _told(self, events: list[Event]) -> list[Event]:
        for event in events:
            if event["state"] == "start":
                self.counts[event["rule"]] += 1
                when = "" if event["pts_s"] is None else f" at {event['pts_s']:.1f} s"
                self._say(f"event {event['rule']}{when}: {event['text']}")
        return events

    def _write_clip(self, event: Event, cut: Cut) -> str:
        path = self._place(event, cut.ending)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, cut.template, cut.packets)
        self._cut.append((path, cut.size))
        while sum(size for _, size in self._cut) > MOST_CLIP_BYTES:
            self._cut.popleft()[0].unlink(missing_ok=True)
        return str(path)

    def _place(self, event: Event, ending: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{event['frame']:06d}-{event['rule']}-{event['id'][:8]}.{ending}"

    def _write(self, event: Event, jpeg: bytes) -> Path:
        assert self._folder is not None
        path = self._place(event, "jpg")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg)
            self._written.append(path)
            if len(self._written) > MOST_PICTURES:
                self._written.popleft().unlink(missing_ok=True)
        except OSError as error:
            raise write_failure(path, error) from error
        return path
