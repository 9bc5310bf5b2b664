"""What Redis knows of all streams, as Prometheus reads it. Every gateway gives the same."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from vocab.connection import RedisClient, server_name
from vocab.errors import StoreUnavailable
from vocab.redis_errors import redis_errors
from vocab.redis_memory import Memory, memory
from workers.contract.keys import StreamKeys
from workers.contract.sink_offsets import SinkOffset
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import STATES
from workers.contract.stream_store import StreamStore
from workers.gateway.connections import Connections
from workers.gateway.problems import responses
from workers.gateway.sums import Seen, Sums, told
from workers.settings.schema import GatewaySettings
from workers.telemetry.metrics import (
    ABOVE_IDLE,
    ALL_FPS,
    ALL_KEPT,
    ALL_LAG,
    ALL_LATENCY,
    AUDITS,
    DROPPED,
    FRAMES,
    GAP,
    GAPS,
    GUARD_FULL,
    INFO,
    JOULES,
    LATENCY,
    LOST,
    MISSED,
    REDIS_MEMORY,
    REDIS_UP,
    RESTARTS,
    RESULT_AGE,
    SAVED,
    SERVICE,
    SINK_LAG,
    SINK_LOST,
    STATE,
    STREAMS,
    TOKENS_FULL,
    TOKENS_KEPT,
    TOLD,
    VOCABULARY,
    WRONG,
    Described,
    by_reason,
)

Family = CounterMetricFamily | GaugeMetricFamily


def look(client: RedisClient) -> list[Seen]:
    """Looks at all streams, in as many round trips for two hundred as for two.

    Raises:
        StoreUnavailable: Redis cannot do it now.
    """
    store = StreamStore(client)
    specs = list(store.all().values())
    statuses = store.statuses([spec.id for spec in specs])
    offsets = _offsets(client, [spec for spec in specs if spec.sinks])
    pairs = zip(specs, statuses, strict=True)
    return [Seen(spec, status, offsets.get(spec.id, {})) for spec, status in pairs]


class ServiceCollector(Collector):
    """One look as metrics.

    Args:
        seen: all streams; None when Redis did not answer.
        now: Unix seconds of the look; None for the present.
        redis: how full it is; None where that is not known.
        most: of more streams only those are told one by one that something is wrong with.
    """

    def __init__(
        self,
        seen: Sequence[Seen] | None,
        now: float | None = None,
        redis: Memory | None = None,
        most: int = 500,
    ) -> None:
        self._most = most
        self._seen = seen
        self._redis = redis
        self._now = time.time() if now is None else now

    def collect(self) -> Iterator[Family]:
        """The families of `metrics.SERVICE`."""
        self._families = {metric: _family(metric) for metric in SERVICE}
        self._add(REDIS_UP, self._seen is not None)
        if self._redis is not None and self._redis.limit is not None:
            self._add(REDIS_MEMORY, self._redis.used / self._redis.limit)
        if self._seen is not None:
            states = Counter(seen.status.state for seen in self._seen)
            for state in STATES:
                self._add(STREAMS, states[state], state)
            one_by_one = told(list(self._seen), self._most, self._now)
            self._add(TOLD, len(one_by_one))
            self._add_sums(Sums.of(self._seen, self._now))
            for seen in one_by_one:
                self._add_stream(seen)
        yield from self._families.values()

    def _add(self, metric: Described, value: float | None, *labels: str) -> None:
        """Adds a sample; what is unknown has none."""
        if value is not None:
            self._families[metric].add_metric(labels, value)

    def _add_sums(self, sums: Sums) -> None:
        self._add(ALL_FPS, sums.fps)
        self._add(ALL_LATENCY, None if sums.latency_ms is None else sums.latency_ms / 1000)
        self._add(ALL_KEPT, sums.kept)
        self._add(ALL_LAG, sums.lag)
        for what, count in sums.wrong.items():
            self._add(WRONG, count, what)

    def _add_stream(self, seen: Seen) -> None:
        spec, status, stream = seen.spec, seen.status, seen.spec.id
        self._add(INFO, 1, stream, spec.model, spec.tokenizer or status.tokenizer or "")
        for state in STATES:
            self._add(STATE, status.state == state, stream, state)
        self._add(FRAMES, status.next_frame, stream)
        for reason, count in by_reason(status.dropped).items():
            self._add(DROPPED, count, stream, reason)
        self._add(GAPS, status.dropped.get(GAP, 0), stream)
        self._add(TOKENS_FULL, status.tokens_full, stream)
        self._add(TOKENS_KEPT, status.tokens_kept, stream)
        method = status.energy_method or "none"
        self._add(JOULES, status.joules, stream, method)
        self._add(ABOVE_IDLE, status.above_idle_joules, stream, method)
        self._add(RESTARTS, status.restarts, stream)
        self._add(VOCABULARY, status.vocab_version, stream)
        if status.results_at is not None:
            # Clocks of two machines may differ.
            self._add(RESULT_AGE, max(self._now - status.results_at, 0.0), stream)
        if status.state == "running":
            self._add(LOST, status.lost or 0.0, stream)
        if status.state == "running" and status.latency_ms is not None:
            self._add(LATENCY, status.latency_ms / 1000, stream)
        if status.fidelity is not None:
            self._add(AUDITS, status.fidelity["audits"], stream)
            for bound in ("low", "mean", "high"):
                self._add(MISSED, status.fidelity["missed_hour"][bound], stream, bound)
        if status.saving is not None:
            for of in ("operations", "time", "joules"):
                for bound in ("low", "mean", "high"):
                    self._add(SAVED, status.saving[of][bound], stream, of, bound)
        if status.guard is not None:
            self._add(GUARD_FULL, status.guard["state"] == "unable", stream)
        for name, lag in seen.lags().items():
            self._add(SINK_LAG, lag, stream, name)
            self._add(SINK_LOST, seen.sinks[name].lost, stream, name)


def metric_routes(settings: GatewaySettings, connections: Connections) -> APIRouter:
    """The route that Prometheus scrapes; with tokens it wants one that may read."""
    most = settings.metrics_streams
    router = APIRouter(tags=["health"])

    @router.get("/metrics", response_class=Response, responses=responses(401))
    async def metrics(request: Request) -> Response:
        """All streams as metrics of Prometheus. Any gateway knows them all, so one is to be scraped.

        Of more streams than `gateway.metrics_streams` only those are told one by one that something is wrong
        with; the others are in the sums.
        """
        try:
            seen = await connections.call(look)
            redis = await connections.call(memory)
        except StoreUnavailable:
            seen, redis = None, None
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        # Milliseconds with hundreds of streams: the event loop has results to pass on meanwhile.
        collector = ServiceCollector(seen, redis=redis, most=most)
        return Response(await to_thread.run_sync(encode, collector), media_type=content_type)

    return router


def _family(metric: Described) -> Family:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    return kind(metric.name, metric.help, labels=metric.labels)


def _offsets(client: RedisClient, specs: Sequence[StreamSpec]) -> dict[str, dict[str, SinkOffset]]:
    if not specs:
        return {}
    pipeline: Any = client.pipeline(transaction=False)
    with redis_errors("look up the sinks of the streams", server_name(client)):
        for spec in specs:
            pipeline.hgetall(StreamKeys(spec.id).sinks)
        answers = pipeline.execute()
    return {spec.id: _asked_for(spec, stored) for spec, stored in zip(specs, answers, strict=True)}


def _asked_for(spec: StreamSpec, stored: Mapping[bytes, bytes]) -> dict[str, SinkOffset]:
    found = {}
    for sink in spec.sinks:
        text = stored.get(sink.key.encode())
        if text is not None:
            found[sink.key] = SinkOffset.parse(text)
    return found
