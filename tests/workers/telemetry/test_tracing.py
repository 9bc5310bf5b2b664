"""Traces of real messages, from reading a stream to durable results, as a real collector gets them."""

import asyncio
import pickle
import subprocess
import sys
import threading

import pytest

from pipeline.errors import UsageError
from tests import make_clips
from tests.vocab.servers import Server, unused_port
from tests.workers.telemetry.collector import collecting
from vocab.connection import connect
from vocab.redis_lease import RedisLease
from workers.contract.keys import StreamKeys
from workers.contract.messages import FrameBatch
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.inference.core import InferenceCore
from workers.ingest.replica_context import ReplicaContext
from workers.ingest.worker import StreamWorker
from workers.settings.loading import load_settings
from workers.settings.schema import ServiceSettings, TraceSettings
from workers.telemetry.opening import open_tracing

WHERE = {"replica": "r1", "node": "n1", "pid": 1}


class Answer:
    def __init__(self, future):
        self._future = future

    def result(self, *, timeout_s=None):
        return self._future.result(timeout_s)


class Service:
    """One reader of streams and one `InferenceCore`, with only bytes between them."""

    def __init__(self, url, trace):
        self.settings = ServiceSettings(
            redis=url,
            ingest={"micro_batch": 8},
            inference={"meter": "estimate", "batch": 4},
            access={"allow_folders": ["/"]},
            trace=trace,
        )
        self.client = connect(url)
        self.messages: list[FrameBatch] = []
        self.failures: list[Exception] = []
        self._core = InferenceCore(self.settings, WHERE, None)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._tracing = open_tracing(self.settings.trace, "Ingest", WHERE)

    def read(self, source, end="ended"):
        """Reads a file to that end."""
        spec = StreamSpec(id="cam", source=str(source), model="null", tokenizer="full")
        fence = RedisLease(self.client, StreamKeys("cam")).acquire()
        context = ReplicaContext(
            self.settings, self.client, self.client, self._infer, self._describe, WHERE, self._tracing
        )
        run = StreamWorker(spec, fence, StreamStore(self.client).status("cam"), context)
        run.join(60)
        assert run.outcome is not None
        assert run.outcome.kind == end

    def close(self):
        """Everything is told by the time this returns."""
        if self._loop.is_closed():
            return
        self._core.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._tracing is not None:
            self._tracing.close()

    def _infer(self, _stream, batch):
        sent = pickle.loads(pickle.dumps(batch))
        self.messages.append(sent)
        if self.failures:
            raise self.failures.pop()
        return self._call(self._core.infer(sent))

    def _describe(self, model):
        return self._call(self._core.describe(model))

    def _call(self, work):
        return Answer(asyncio.run_coroutine_threadsafe(work, self._loop))


@pytest.fixture(scope="module")
def server():
    server = Server("valkey")
    yield server
    server.close()


@pytest.fixture
def collector():
    with collecting() as collector:
        yield collector


@pytest.fixture
def service(server):
    started = []

    def start(**trace):
        connect(server.url).flushall()
        started.append(Service(server.url, trace))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clips.steady(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=20)


def test_a_message_is_one_trace_from_decoding_to_durable_results(service, collector, clip):
    running = service(endpoint=collector.url, ratio=1.0)
    running.read(clip)
    running.close()

    assert collector.paths == {"/v1/traces"}
    roots = [span for span in collector.spans if not span.parent]
    assert sorted((r.facts["vwt.first_frame"], r.facts["vwt.frames"]) for r in roots) == sorted(
        (message.first, len(message.facts)) for message in running.messages
    )
    for root in roots:
        assert (root.service, root.name) == ("vwt-ingest", "message")
        assert root.facts["vwt.stream"] == "cam"
        assert (root.facts["vwt.model"], root.facts["vwt.tokenizer"]) == ("null", "full")
        spans = [span for span in collector.spans if span.trace == root.trace and span is not root]
        (send,) = (span for span in spans if span.name == "send")
        (decode,) = (span for span in spans if span.name == "decode")
        below = [span for span in spans if span.parent == send.id]
        assert {send.parent, decode.parent} == {root.id}
        assert {(span.service, span.name) for span in below} == {
            ("vwt-inference", name) for name in ("queue", "pass", "write")
        }
        assert len(below) + 2 == len(spans)
        passes = [span for span in below if span.name == "pass"]
        assert sum(span.facts["vwt.frames"] for span in passes) == root.facts["vwt.frames"]
        assert all(span.facts["vwt.joules"] > 0 for span in passes)
        # Two clocks are read for each time, one just after the other.
        assert decode.start_ns == pytest.approx(root.start_ns, abs=1e6)
        assert decode.start_ns < decode.end_ns <= send.start_ns
        assert all(send.start_ns <= span.start_ns <= span.end_ns <= root.end_ns for span in below)


def test_what_is_sent_again_stays_one_trace_and_says_so(service, collector, clip):
    running = service(endpoint=collector.url, ratio=1.0)
    running.failures = [OSError("rtsp://viewer:secret@camera/ went away")]
    running.read(clip)
    running.close()
    again = [span for span in collector.spans if span.events]
    assert [(span.name, span.events) for span in again] == [("send", ["sent again"])]
    assert not any(b"secret" in raw for raw in collector.raw)
    assert len({span.trace for span in collector.spans}) == len(running.messages) - 1


def test_a_message_left_under_way_is_a_whole_trace_that_failed(service, collector, clip):
    running = service(endpoint=collector.url, ratio=1.0)
    running.failures = [UsageError("these frames do not fit")]
    running.read(clip, end="failed")
    running.close()
    assert {(span.name, span.failed) for span in collector.spans} == {
        ("message", False),
        ("decode", False),
        ("send", True),
    }


def test_no_span_says_where_a_stream_comes_from(service, collector, clip):
    running = service(endpoint=collector.url, ratio=1.0)
    running.read(clip)
    running.close()
    assert collector.raw
    assert not any(clip.name.encode() in raw for raw in collector.raw)


def test_only_the_share_asked_for_is_traced(service, collector, clip):
    running = service(endpoint=collector.url, ratio=0.0)
    running.read(clip)
    running.close()
    assert collector.spans == []
    assert {message.trace for message in running.messages} == {None}


def test_without_a_collector_messages_carry_nothing(service, clip):
    running = service()
    running.read(clip)
    running.close()
    assert {message.trace for message in running.messages} == {None}


def test_without_a_collector_nothing_of_it_is_imported():
    code = (
        "import sys, workers.inference.core, workers.ingest.worker, workers.telemetry.opening as opening\n"
        "from workers.settings.schema import TraceSettings\n"
        "assert opening.open_tracing(TraceSettings(), 'Ingest', {}) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry.exporter.otlp')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_collector_that_does_not_answer_holds_nothing_up(service, clip):
    running = service(endpoint=f"http://127.0.0.1:{unused_port()}", ratio=1.0)
    running.read(clip)
    running.close()
    assert StreamStore(running.client).status("cam").next_frame == 20


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("collector:4318", "must be a URL"),
        ("grpc://collector:4317", "must be a URL"),
        ("http://me:secret@collector:4318", "OTEL_EXPORTER_OTLP_HEADERS"),
    ],
)
def test_a_collector_that_cannot_be_right_is_refused_in_one_line(monkeypatch, endpoint, why):
    monkeypatch.setenv("VWT_TRACE__ENDPOINT", endpoint)
    with pytest.raises(UsageError, match=why) as refused:
        load_settings(None, {})
    assert "VWT_TRACE" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_without_the_extra_a_collector_is_refused_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(ValueError, match=r"pip install 'vwt-stream\[trace\]'"):
        TraceSettings(endpoint="http://localhost:4318")
