"""A collector of traces and metrics: takes OTLP over HTTP, as any real one does, and keeps what it got."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Seen:
    """A span as it came over the wire."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    start_ns: int
    end_ns: int
    facts: dict[str, Any]
    events: list[str]
    failed: bool


@dataclass(frozen=True)
class Point:
    """A value of a metric as it came over the wire."""

    name: str
    unit: str
    rises: bool
    labels: dict[str, Any]
    value: float


class Collector:
    """Where it listens, and the spans and values so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Seen] = []
        self.points: list[Point] = []
        self.raw: list[bytes] = []
        self.paths: set[str] = set()

    def take(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        self.raw.append(body)
        if path == "/v1/metrics":
            self.points += points_of(body)
            return
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = facts_of(resource.resource.attributes)["service.name"]
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                self.spans.append(
                    Seen(
                        service,
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        facts_of(span.attributes),
                        [event.name for event in span.events],
                        span.status.code == span.status.STATUS_CODE_ERROR,
                    )
                )


def facts_of(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def points_of(body: bytes) -> Iterator[Point]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for metric in (metric for scope in resource.scope_metrics for metric in scope.metrics):
            kind = metric.WhichOneof("data")
            rises = kind == "sum" and metric.sum.is_monotonic
            for point in getattr(metric, kind).data_points:
                yield Point(metric.name, metric.unit, rises, facts_of(point.attributes), point.as_double)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Runs a collector on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            collector.take(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
