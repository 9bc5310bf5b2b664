"""Metrics of one `vwt run`, served by itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pipeline.errors import UsageError
from pipeline.results import FrameResult
from workers.telemetry.metrics import (
    ABOVE_IDLE,
    DROPPED,
    FRAMES,
    GAP,
    GAPS,
    JOULES,
    REASONS,
    RESULT_AGE,
    SECONDS,
    STAGE,
    TOKENS_FULL,
    TOKENS_KEPT,
    VOCABULARY,
    Described,
    by_reason,
)


class RunMetrics:
    """Counts the results of one stream as they are delivered.

    Args:
        stream: its name in results.
    """

    def __init__(self, stream: str) -> None:
        self.registry = CollectorRegistry()
        self._stream = stream
        self._frames = self._counter(FRAMES).labels(stream)
        dropped = self._counter(DROPPED)
        self._dropped = {reason: dropped.labels(stream, reason) for reason in REASONS}
        self._gaps = self._counter(GAPS).labels(stream)
        self._tokens_full = self._counter(TOKENS_FULL).labels(stream)
        self._tokens_kept = self._counter(TOKENS_KEPT).labels(stream)
        self._joules = self._counter(JOULES)
        self._above_idle = self._counter(ABOVE_IDLE)
        self._vocabulary = self._gauge(VOCABULARY)
        self._age = self._gauge(RESULT_AGE)
        self._newest_at: float | None = None
        stages = Histogram(STAGE.name, STAGE.help, STAGE.labels, registry=self.registry, buckets=SECONDS)
        self._stages = {name: stages.labels(stream, name) for name in ("decode", "queue", "infer", "total")}

    def add(self, result: FrameResult) -> None:
        """Counts a result with its final energy."""
        self._frames.inc()
        if result.dropped:
            for reason, count in by_reason(result.dropped).items():
                self._dropped[reason].inc(count)
            self._gaps.inc(result.dropped.get(GAP, 0))
        if result.tokens_full is not None and result.tokens_kept is not None:
            self._tokens_full.inc(result.tokens_full)
            self._tokens_kept.inc(result.tokens_kept)
        energy = result.energy
        if energy.joules is not None:
            self._joules.labels(self._stream, energy.method).inc(energy.joules)
        if energy.above_idle_joules is not None:
            # Below idle at times, as noise has it, and a counter takes no step back.
            self._above_idle.labels(self._stream, energy.method).inc(max(energy.above_idle_joules, 0.0))
        if result.vocab_version is not None:
            self._vocabulary.labels(self._stream).set(result.vocab_version)
        self._stages["decode"].observe(result.times.decode_ms / 1000)
        self._stages["queue"].observe(result.queue_ms / 1000)
        self._stages["infer"].observe(result.infer_ms / 1000)
        self._stages["total"].observe(result.total_ms / 1000)
        if self._newest_at is None:
            self._age.labels(self._stream).set_function(self._seconds_since)
        self._newest_at = time.monotonic()

    def _seconds_since(self) -> float:
        assert self._newest_at is not None
        return time.monotonic() - self._newest_at

    def _counter(self, metric: Described) -> Counter:
        return Counter(metric.name, metric.help, metric.labels, registry=self.registry)

    def _gauge(self, metric: Described) -> Gauge:
        return Gauge(metric.name, metric.help, metric.labels, registry=self.registry)


@contextmanager
def served(metrics: RunMetrics, host: str, port: int) -> Iterator[str]:
    """Serves metrics over HTTP while the block runs.

    Yields:
        The URL to scrape.

    Raises:
        UsageError: host and port cannot be bound.
    """
    # Else every counter has a second series, with the time it began at.
    prometheus_client.disable_created_metrics()
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise UsageError(
            f"cannot serve metrics at {host}:{port}: {error.strerror or error}; "
            "choose another --metrics-port or --metrics-host"
        ) from None
    try:
        bound: Any = server.server_address
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        yield f"http://{shown}:{bound[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
