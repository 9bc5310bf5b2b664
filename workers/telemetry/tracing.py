"""Traces of messages, from decoding to durable results, for an OpenTelemetry collector.

    message                     Ingest: all of it, until its results are durable
    ├─ decode                   from the first frame's decoding until the last was ready
    └─ send                     from the call to its answer; what is sent again is an event of it
       ├─ queue                 Inference: until a pass took its first frames
       ├─ pass                  tokenizing and predicting, once per pass that had frames of it
       └─ write                  until Redis has the results

A message takes the context of `send` along, as W3C names it. No attribute holds a source.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from opentelemetry.trace import Span, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from pipeline.frame import Frame
from pipeline.redact import redact
from pipeline.results import FrameResult
from pipeline.sources.deadline import within
from pipeline.stream import Timing
from workers.contract.messages import TokenSettings

# A collector that does not answer loses spans; nothing waits for it.
_EXPORT_S = 2.0
_CLOSE_S = 1.5
_W3C = TraceContextTextMapPropagator()


class Tracing:
    """Makes the spans of one replica; from any thread.

    Args:
        endpoint: base URL of a collector that takes OTLP over HTTP.
        ratio: share of the messages that are traced.
        deployment: whose spans they are.
        replica: its id.
    """

    def __init__(self, endpoint: str, ratio: float, deployment: str, replica: str) -> None:
        resource = Resource.create(
            {"service.name": f"vwt-{deployment.lower()}", "service.instance.id": replica}
        )
        self._provider = TracerProvider(ParentBasedTraceIdRatio(ratio), resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("vwt")

    def message(
        self, stream: str, first: int, frames: Sequence[Frame], settings: TokenSettings
    ) -> MessageTrace | None:
        """Begins the trace of a message that is about to be sent; None when it is not to be traced."""
        began = frames[0].ready_at - frames[0].times.decode_ms / 1000
        facts: dict[str, AttributeValue] = {
            "vwt.stream": stream,
            "vwt.model": settings.model,
            "vwt.tokenizer": settings.tokenizer,
            "vwt.first_frame": first,
            "vwt.frames": len(frames),
        }
        whole = self._tracer.start_span("message", Context(), attributes=facts, start_time=_unix_ns(began))
        if not whole.is_recording():
            return None
        below = set_span_in_context(whole, Context())
        _span(self._tracer, below, "decode", began, frames[-1].ready_at)
        return MessageTrace(whole, self._tracer.start_span("send", below))

    def inferred(
        self,
        carrier: Mapping[str, str] | None,
        arrived_at: float,
        passes: Sequence[tuple[Timing, Sequence[FrameResult]]],
        failure: Exception | None = None,
    ) -> None:
        """Adds what became of a message in Inference, up to now.

        Args:
            carrier: that the message brought; nothing is done for one that is not traced.
            arrived_at: `time.monotonic()` when the message came.
            passes: at least one: when each ran, and its results as far as there are any.
            failure: why the results could not be written, if so.
        """
        if carrier is None:
            return
        above = _W3C.extract(carrier, Context())
        _span(self._tracer, above, "queue", arrived_at, passes[0][0].taken_at)
        for timing, results in passes:
            facts = _facts(results) | {"vwt.infer_ms": timing.infer_ms}
            _span(self._tracer, above, "pass", timing.taken_at, timing.done_at, facts)
        _span(self._tracer, above, "write", passes[-1][0].done_at, time.monotonic(), failure=failure)

    def close(self) -> None:
        """Gives the collector what it has not got yet, but does not wait for one that does not answer."""
        with suppress(TimeoutError):
            within(_CLOSE_S, self._provider.shutdown, lambda _: None)


class MessageTrace:
    """The trace of one message, where it was sent.

    Attributes:
        carrier: for `FrameBatch.trace`.
    """

    def __init__(self, whole: Span, send: Span) -> None:
        self.carrier: dict[str, str] = {}
        self._whole = whole
        self._send = send
        _W3C.inject(self.carrier, set_span_in_context(send, Context()))

    def again(self, reason: str) -> None:
        """The message is sent again; `reason` holds no credentials."""
        self._send.add_event("sent again", {"reason": reason})

    def left(self) -> None:
        """Nobody waits for its results here any more; who reads the stream next sends its frames again."""
        self._send.set_status(Status(StatusCode.ERROR, "left under way"))
        self.done()

    def done(self) -> None:
        """Its results are durable."""
        self._send.end()
        self._whole.end()


def _span(
    tracer: Tracer,
    above: Context,
    name: str,
    start: float,
    end: float,
    facts: Mapping[str, AttributeValue] | None = None,
    failure: Exception | None = None,
) -> None:
    """Adds a span that is over; times are `time.monotonic()` seconds."""
    span = tracer.start_span(name, above, attributes=facts, start_time=_unix_ns(start))
    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, redact(str(failure))))
    span.end(_unix_ns(end))


def _facts(results: Sequence[FrameResult]) -> dict[str, AttributeValue]:
    """What the frames of a pass add up to; nothing that is not known of all of them."""
    kept = [result.tokens_kept for result in results if result.tokens_kept is not None]
    joules = [result.energy.joules for result in results if result.energy.joules is not None]
    facts: dict[str, AttributeValue] = {"vwt.frames": len(results)}
    if results and len(kept) == len(results):
        facts["vwt.tokens_kept"] = sum(kept)
    if results and len(joules) == len(results):
        facts["vwt.joules"] = sum(joules)
    return facts


def _unix_ns(monotonic_s: float) -> int:
    return time.time_ns() - int((time.monotonic() - monotonic_s) * 1e9)
