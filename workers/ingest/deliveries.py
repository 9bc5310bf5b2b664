"""Delivers a stream's results to its sinks, each at its own pace, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pipeline.errors import VwtError
from pipeline.redact import redact
from pipeline.sources.backoff import Backoff
from vocab.connection import RedisClient, server_name
from vocab.errors import StoreUnavailable
from vocab.redis_errors import redis_errors
from workers.contract.keys import StreamKeys
from workers.contract.result_log import FencedError
from workers.contract.sink_offsets import SinkOffset, SinkOffsets, sink_status
from workers.contract.stream_spec import StreamSpec
from workers.settings.schema import ServiceSettings
from workers.sinks.settings import SinkSettings
from workers.sinks.sink import Sink
from workers.telemetry.logs import log_context

_log = logging.getLogger(__name__)

_BATCH = 100
# Who is told of every result looks by itself only for what it was not told of.
_LOOK_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 30.0


class StreamDeliveries:
    """Delivers to all sinks of a stream, for whoever holds its lease.

    Each result is delivered at least once and in order: a sink's offset moves on only after it has taken the
    results before it. A sink that fails is tried again with growing pauses, and never holds up the stream or
    another sink; results that Redis keeps no longer when it is back are counted as lost.

    Args:
        settings: of the service.
        client: of Redis; used from a thread per sink, never for long.
        spec: of the stream.
        fence: gives the fence of its lease as it is now.
    """

    def __init__(
        self, settings: ServiceSettings, client: RedisClient, spec: StreamSpec, fence: Callable[[], int]
    ) -> None:
        self._client = client
        self._spec = spec
        self._deliveries = [_Delivery(settings, client, spec.id, sink, fence) for sink in spec.sinks]
        self._offsets = SinkOffsets(client, spec.id)
        self._fence = fence

    def start(self) -> None:
        """Starts the threads, without waiting for any sink; call it before the stream's first result."""
        if not self._deliveries:
            return
        try:
            self._offsets.keep_only(self._fence(), [sink.key for sink in self._spec.sinks])
        except (StoreUnavailable, FencedError) as error:
            _log.warning("%s", error)
        for delivery in self._deliveries:
            delivery.start()

    def look(self) -> None:
        """Tells that there are new results; from any thread."""
        for delivery in self._deliveries:
            delivery.look()

    def stop(self, within_s: float = 1.0) -> None:
        """Stops delivering; a sink that hangs is left to itself after `within_s` seconds for all of them."""
        for delivery in self._deliveries:
            delivery.stop()
        deadline = time.monotonic() + within_s
        for delivery in self._deliveries:
            delivery.join(max(deadline - time.monotonic(), 0))

    def caught_up(self) -> bool:
        """Whether every sink has taken every result; False also while Redis cannot say."""
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
        stream: str,
        sink: SinkSettings,
        fence: Callable[[], int],
    ) -> None:
        self._access = settings.access
        self._client: Any = client
        self._stream = stream
        self._settings = sink
        self._fence = fence
        self._offsets = SinkOffsets(client, stream)
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
        entries = self._read(self._reached.frames)
        if self._stopped.is_set():
            return
        if not entries:
            if self._reached.error is not None:
                # It was about Redis, which answers again: nothing waits for the sink.
                self._keep(replace(self._reached, error=None))
            self._due.wait(_LOOK_S)
            return
        if self._sink is None:
            # What the caller named may have come to lead elsewhere.
            self._settings.check(self._access)
            self._sink = self._settings.open(self._stream, self._access)
        self._sink.write([result for _, result in entries])
        if self._reached.error is not None:
            _log.info("%s takes results of %s again", self._settings.display, self._stream)
        newest = entries[-1][0]
        missing = newest - self._reached.frames - len(entries)
        self._keep(SinkOffset(frames=newest, lost=self._reached.lost + missing, at=time.time()))

    def _read(self, after: int) -> list[tuple[int, bytes]]:
        """Results behind that many frames, with how many frames there are up to each."""
        key = StreamKeys(self._stream).results
        with redis_errors(f"read results of {self._stream}", server_name(self._client)):
            answer = self._client.xread({key: f"{after}-0"}, count=_BATCH)
        if not answer:
            return []
        # A list of pairs in RESP2, a mapping to lists of pages in RESP3.
        entries = answer[key.encode()][0] if isinstance(answer, dict) else answer[0][1]
        return [(int(entry.partition(b"-")[0]), fields[b"result"]) for entry, fields in entries]

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
