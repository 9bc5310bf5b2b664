"""Delivers a stream's results and events to its sinks, each at its own pace, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

from pipeline.clips.packets import PacketRing
from pipeline.errors import VwtError
from pipeline.frame import Frame
from pipeline.redact import redact
from pipeline.sources.backoff import Backoff
from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from workers.contract.event_log import EventLog, number_of
from workers.contract.fenced import FencedError
from workers.contract.result_log import ResultLog
from workers.contract.sink_offsets import SinkOffset, SinkOffsets, sink_status
from workers.contract.stream_spec import StreamSpec
from workers.ingest.events import StreamEvents
from workers.ingest.metrics import IngestMetrics
from workers.settings.schema import ServiceSettings
from workers.sinks.settings import SinkSettings
from workers.sinks.sink import Announcing, Sink
from workers.telemetry.logs import log_context

_log = logging.getLogger(__name__)

_BATCH = 100
# Who is told of every result looks by itself only for what it was not told of.
_LOOK_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0


class StreamDeliveries:
    """Delivers to all sinks of a stream, for whoever holds its lease.

    Events are made of the results on the way, where the stream has rules. Each result, and each event, is
    delivered at least once and in order: a sink's offset moves on only after it has taken the
    results before it. A sink that fails is tried again with growing pauses, and never holds up the stream or
    another sink; results that Redis keeps no longer when it is back are counted as lost.

    Args:
        settings: of the service.
        client: of Redis; used from a thread per sink, never for long.
        spec: of the stream.
        fence: gives the fence of its lease as it is now.
        metrics: told of events.
        packets: of its source, for clips; None where no rule asks for one.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        client: RedisClient,
        spec: StreamSpec,
        fence: Callable[[], int],
        metrics: IngestMetrics,
        packets: PacketRing | None = None,
    ) -> None:
        self._client = client
        self._spec = spec
        self._deliveries = [_Delivery(settings, client, spec, sink, fence) for sink in spec.sinks]
        self._events = (
            StreamEvents(settings, client, spec, fence, self._look, metrics, packets) if spec.rules else None
        )
        self._offsets = SinkOffsets(client, spec.id)
        self._fence = fence

    def start(self, next_frame: int = 0) -> None:
        """Starts the threads, without waiting for any sink; call it before the stream's first result.

        Args:
            next_frame: number of the frame after the last durable result.
        """
        if self._events is not None:
            self._events.start(next_frame)
        if not self._deliveries:
            return
        try:
            self._offsets.keep_only(self._fence(), [sink.key for sink in self._spec.sinks])
        except (StoreUnavailable, FencedError) as error:
            _log.warning("%s", error)
        for delivery in self._deliveries:
            delivery.start()

    def keep(self, first: int, frames: Sequence[Frame]) -> None:
        """Keeps frames that are about to be sent, for pictures of events; numbered from `first` on."""
        if self._events is not None:
            self._events.keep(first, frames)

    def retune(self, spec: StreamSpec) -> None:
        """Goes on with other zones, which pictures of events show."""
        if self._events is not None:
            self._events.retune(spec)

    def look(self) -> None:
        """Tells that there are new results; from any thread."""
        if self._events is not None:
            self._events.look()
        self._look()

    def _look(self) -> None:
        for delivery in self._deliveries:
            delivery.look()

    def stop(self, within_s: float = 1.0) -> None:
        """Stops delivering; a sink that hangs is left to itself after `within_s` seconds for all of them."""
        if self._events is not None:
            self._events.stop()
        for delivery in self._deliveries:
            delivery.stop()
        deadline = time.monotonic() + within_s
        if self._events is not None:
            self._events.join(within_s)
        for delivery in self._deliveries:
            delivery.join(max(deadline - time.monotonic(), 0))

    def close(self, state: Literal["ended", "failed"], reason: str | None, within_s: float = 0.0) -> None:
        """Tells the rules what became of the stream, after its last result, and waits for them so long."""
        if self._events is not None:
            self._events.close(state, reason)
            self._events.wait(within_s)

    def caught_up(self) -> bool:
        """Whether, after `close`, all was looked at, and every sink has taken everything.

        False also while Redis cannot say.
        """
        if self._events is not None and not self._events.wait(0):
            return False
        try:
            return all(sink["lag"] == 0 for sink in self.status())
        except StoreUnavailable:
            return False

    def status(self) -> list[dict[str, Any]]:
        """See `sink_status`."""
        return sink_status(self._client, self._spec)


class _Delivery:
    """Delivers to one sink."""

    def __init__(
        self,
        settings: ServiceSettings,
        client: RedisClient,
        spec: StreamSpec,
        sink: SinkSettings,
        fence: Callable[[], int],
    ) -> None:
        self._access = settings.access
        self._stream = stream = spec.id
        self._rules = [rule.name for rule in spec.rules]
        self._settings = sink
        self._fence = fence
        self._offsets = SinkOffsets(client, stream)
        self._results = ResultLog(client, stream, settings.kept_results)
        self._events = EventLog(client, stream)
        self._reached: SinkOffset | None = None
        self._sink: Sink | None = None
        # Whether our offset is the one Redis has.
        self._agreed = False
        self._stopped = threading.Event()
        # Set when there may be something to deliver.
        self._due = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"vwt-sink-{stream}-{sink.key}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look(self) -> None:
        self._due.set()

    def stop(self) -> None:
        self._stopped.set()
        self._due.set()

    def join(self, timeout_s: float) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        with log_context(self._stream):
            self._deliver()

    def _deliver(self) -> None:
        backoff = Backoff(initial_s=_FIRST_PAUSE_S, cap_s=_LONGEST_PAUSE_S)
        while not self._stopped.is_set():
            try:
                self._step()
                backoff.reset()
            except (VwtError, StoreUnavailable) as error:
                self._failed(redact(str(error)))
                self._stopped.wait(backoff.next_s())
            except Exception as error:
                _log.exception("delivering results of %s to %s", self._stream, self._settings.display)
                self._failed(redact(f"unexpected error: {type(error).__name__}: {error}"))
                self._stopped.wait(backoff.next_s())
        self._close()

    def _step(self) -> None:
        """Delivers what there is, or waits a moment for more."""
        if self._reached is None or not self._agreed:
            self._reached = self._offsets.begin(self._fence(), self._settings.key, self._reached)
            self._agreed = True
        # Before it reads: of what comes later it is told again.
        self._due.clear()
        reached, takes = self._reached, self._settings.events
        entries = [] if takes == "only" else self._results.read(reached.frames, _BATCH)
        events = [] if takes == "no" else self._events.after(reached.events, _BATCH)
        if self._stopped.is_set():
            return
        if not entries and not events:
            if self._reached.error is not None:
                # It was about Redis, which answers again: nothing waits for the sink.
                self._keep(replace(self._reached, error=None))
            self._due.wait(_LOOK_S)
            return
        if self._sink is None:
            # What the caller named may have come to lead elsewhere.
            self._settings.check(self._access)
            self._sink = self._settings.open(self._stream, self._access)
            if isinstance(self._sink, Announcing):
                self._sink.announce(self._rules)
        self._sink.write([text for _, text in (*entries, *events)])
        if self._reached.error is not None:
            _log.info("%s takes results of %s again", self._settings.display, self._stream)
        frames = entries[-1][0] if entries else reached.frames
        event = events[-1][0] if events else reached.events
        missing = frames - reached.frames - len(entries)
        # Numbers begin anew where Redis has lost its data.
        missing += max(number_of(event) - number_of(reached.events) - len(events), 0)
        self._keep(SinkOffset(frames=frames, events=event, lost=reached.lost + missing, at=time.time()))

    def _keep(self, reached: SinkOffset) -> None:
        self._reached, self._agreed = reached, False
        self._offsets.save(self._fence(), self._settings.key, reached)
        self._agreed = True

    def _failed(self, why: str) -> None:
        self._close()
        if self._reached is None or not self._agreed:
            return
        if self._reached.error is None:
            _log.warning("results of %s wait: %s", self._stream, why)
        try:
            self._keep(replace(self._reached, error=why))
        except (FencedError, StoreUnavailable):
            return

    def _close(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.close()
