"""Evaluates a stream's rules over its durable results, in a thread of its own.

Here, and not where results are made: who holds the stream's lease reads every durable result once and in
order, has the fence to write under, knows when the source is lost, and still has the frames for pictures;
Inference is held up by nothing. What was looked at is written together with the events of it, so whoever
takes the stream over goes on from there, and comes to the same events with the same ids.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pipeline.clips.packets import Cut, PacketRing
from pipeline.errors import VwtError
from pipeline.events import Engine, Event
from pipeline.events.clips import AWAITED, EventClips
from pipeline.events.snapshot import drawn, outlines, snapshot
from pipeline.frame import Frame
from pipeline.outputs.visible import moved_points, visible_part
from pipeline.redact import redact
from pipeline.sources.backoff import Backoff
from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from workers.contract.event_log import EventLog, Looked
from workers.contract.result_log import ResultLog
from workers.contract.stream_life import generation
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest.metrics import IngestMetrics
from workers.settings.folders import clip_folder
from workers.settings.schema import ServiceSettings
from workers.telemetry.logs import log_context

_log = logging.getLogger(__name__)

_BATCH = 100
_LOOK_S = 1.0
# Without an event, how far it has come is written so often: less is looked at again after a takeover.
_KEEP_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0
# Of frames that wait for their results, for pictures.
_FRAME_BYTES = 32 * 2**20


class StreamEvents:
    """Evaluates the rules of one stream, for whoever holds its lease.

    Args:
        settings: of the service.
        client: of Redis; used from its thread, never for long.
        spec: of the stream, with rules.
        fence: gives the fence of its lease as it is now.
        told: called after events were written.
        metrics: told of them, too.
        packets: of its source, for clips; None where no rule asks for one.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        client: RedisClient,
        spec: StreamSpec,
        fence: Callable[[], int],
        told: Callable[[], None],
        metrics: IngestMetrics,
        packets: PacketRing | None = None,
    ) -> None:
        self._client = client
        self._spec = spec
        self._fence = fence
        self._told = told
        self._metrics = metrics
        self._results = ResultLog(client, spec.id, settings.kept_results)
        self._log = EventLog(client, spec.id, settings.kept_events, settings.kept_snapshots)
        self._folder = clip_folder(settings)
        self._clips = EventClips(spec.rules, packets, self._write_clip)
        self._of_status = any(rule.source == "status" for rule in spec.rules)
        self._engine: Engine | None = None
        self._looked = Looked(0, None, 0)
        self._kept_at = self._status_at = 0.0
        self._last: dict[str, Any] | None = None
        self._frames: OrderedDict[int, Frame] = OrderedDict()
        self._frame_bytes = 0
        self._lock = threading.Lock()
        self._closing: dict[str, Any] | None = None
        self._closed, self._stopped, self._due = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"vwt-events-{spec.id}", daemon=True)

    def start(self, next_frame: int) -> None:
        """Starts; of a stream that had no rules before, results before that frame are not looked at."""
        self._looked = Looked(next_frame, None, 0)
        self._thread.start()

    def retune(self, spec: StreamSpec) -> None:
        """Goes on with other zones; the rules are the same."""
        self._spec = spec

    def look(self) -> None:
        """Tells that there are new results; from any thread."""
        self._due.set()

    def keep(self, first: int, frames: Sequence[Frame]) -> None:
        """Keeps frames for pictures until their results were looked at; the oldest go where they are many.

        Args:
            first: number of the first.
            frames: that are about to be sent.
        """
        with self._lock:
            for number, frame in enumerate(frames, first):
                self._frames[number] = frame
                self._frame_bytes += frame.image.nbytes
            while self._frame_bytes > _FRAME_BYTES:
                self._frame_bytes -= self._frames.popitem(last=False)[1].image.nbytes

    def close(self, state: str, reason: str | None) -> None:
        """Tells what became of the stream: nothing more comes of it.

        Args:
            state: "ended", and events under way end with it, or "failed".
            reason: why.
        """
        self._closing = {"kind": "status", "state": state, "reason": reason, "at": time.time()}
        self._due.set()

    def wait(self, within_s: float) -> bool:
        """Whether all that came, and the close, was looked at; waits for it."""
        return self._thread.ident is not None and self._closed.wait(within_s)

    def stop(self) -> None:
        """Stops."""
        self._stopped.set()
        self._metrics.open_events(self._spec.id, 0)
        self._due.set()

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        backoff = Backoff(initial_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S)
        with log_context(self._spec.id):
            while not self._stopped.is_set() and not self._closed.is_set():
                try:
                    self._step()
                    backoff.reset()
                except Exception as error:
                    if not isinstance(error, VwtError | StoreUnavailable):
                        _log.exception("events of %s", self._spec.id)
                    _log.warning("events of %s wait: %s", self._spec.id, redact(str(error)))
                    # What it knows may be ahead of what was written: it begins again from there.
                    self._engine = None
                    self._stopped.wait(backoff.next_s())

    def _step(self) -> None:
        """Looks at what there is, or waits a moment for more."""
        if self._engine is None:
            self._looked = self._log.begin(self._fence(), self._looked.frames, self._looked.state)
            state = self._looked.state
            self._engine = Engine(self._spec.id, self._spec.rules, state, generation(self._spec))
            self._clips.resume([] if state is None else state.get("clips", []))
        # Before it reads: of what comes later it is told again.
        self._due.clear()
        closing = self._closing
        engine, frames = self._engine, self._looked.frames
        entries = self._results.read(frames, _BATCH)
        events: list[Event] = []
        pictures: dict[str, bytes] = {}
        for frames, text in entries:
            found, shots = self._look_at(engine, frames - 1, text)
            events += found
            pictures |= shots
        events += self._status(engine, frames)
        done = closing is not None and len(entries) < _BATCH
        if closing is not None and done:
            closing["frame"] = frames
            if closing["state"] == "ended":
                # Their ends tell of the clips that there are.
                events += self._clips.due(engine, everything=True)
                events += engine.finish(self._last or closing)
            events += self._status_events(engine, closing)
        events += self._clips.due(engine, everything=done)
        self._keep(engine, frames, events, pictures, done)
        if done:
            self._closed.set()
        elif len(entries) < _BATCH:
            self._due.wait(_LOOK_S)

    def _look_at(self, engine: Engine, number: int, text: bytes) -> tuple[list[Event], dict[str, bytes]]:
        """Events of a result, with their pictures; one that cannot be read holds up none behind it."""
        found: list[Event] = []
        try:
            self._last = json.loads(text)
            found = engine.feed(self._last)
            shots = self._pictures(found, number, self._last)
            self._clips.begin(found, self._last)
            return found, shots
        except Exception:
            _log.exception("events of frame %d of %s", number, self._spec.id)
            return found, {}

    def _keep(
        self, engine: Engine, frames: int, events: list[Event], pictures: dict[str, bytes], now: bool
    ) -> None:
        before = self._looked
        if not events and not now and time.monotonic() < self._kept_at + _KEEP_S:
            # Only where it stands: state and version are those that Redis has.
            self._looked = Looked(frames, before.state, before.version)
            self._forget(frames)
            return
        state = engine.state() | {"clips": self._clips.waiting}
        after = Looked(frames, state, before.version + 1)
        self._log.append(self._fence(), before, after, events, pictures)
        self._looked, self._kept_at = after, time.monotonic()
        self._forget(frames)
        self._count(engine, events)
        if events:
            self._told()

    def _count(self, engine: Engine, events: Sequence[Event]) -> None:
        self._metrics.open_events(self._spec.id, len(engine.under_way))
        for event in events:
            if event["state"] == "start":
                self._metrics.event(event["what"], event["severity"])
                if event["snapshot"] is None and event["what"] not in ("stream", "guard"):
                    self._metrics.without("snapshot")
            if event["state"] != "end" and event.get("clip_reason") not in (None, AWAITED):
                self._metrics.without("clip")

    def _status(self, engine: Engine, frames: int) -> list[Event]:
        if not self._of_status or time.monotonic() < self._status_at + _LOOK_S:
            return []
        self._status_at = time.monotonic()
        status = StreamStore(self._client).status(self._spec.id)
        state, reason = status.shown
        guard = None if status.guard is None else status.guard["state"]
        seen = {"kind": "status", "state": state, "reason": reason, "guard": guard}
        return self._status_events(engine, seen | {"at": time.time(), "frame": frames})

    def _status_events(self, engine: Engine, seen: dict[str, Any]) -> list[Event]:
        found = engine.feed(seen)
        self._clips.begin(found, seen)
        return found

    def _write_clip(self, event: Event, cut: Cut) -> str:
        path = self._folder.write(self._spec.id, event["id"], cut)
        return f"/v1/streams/{self._spec.id}/events/{event['id']}/clip{path.suffix}"

    def _pictures(self, events: Sequence[Event], number: int, result: dict[str, Any]) -> dict[str, bytes]:
        """Pictures of the events that begin with a frame; none where the frame is there no longer."""
        started = [event for event in events if event["state"] == "start"]
        with self._lock:
            frame = self._frames.get(number)
        if not started or frame is None:
            return {}
        picture, geometry, prediction, _ = visible_part(frame.image, frame.geometry, drawn(result))
        zones = {} if self._spec.zones is None else self._spec.zones["zones"]
        places = {name: zone["polygon"] for name, zone in zones.items()}
        parts = [
            replace(part, points=moved_points(part.points, frame.geometry, geometry))
            for part in outlines(started, self._spec.rules, places, result)
        ]
        jpeg = snapshot(picture, geometry, None, prediction, parts)
        for event in started:
            event["snapshot"] = f"/v1/streams/{self._spec.id}/events/{event['id']}/snapshot.jpg"
        return {event["id"]: jpeg for event in started}

    def _forget(self, frames: int) -> None:
        with self._lock:
            while self._frames and next(iter(self._frames)) < frames:
                self._frame_bytes -= self._frames.popitem(last=False)[1].image.nbytes
