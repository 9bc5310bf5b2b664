"""What metrics and traces cost beside the frames they tell of.

    python -m benchmarks.metrics

CPU seconds of this process, Ray's recorder in the background included: of all that Ingest and Inference tell
about a message, of 4 frames (live) or 16 (files begin so), per frame, over decoding, resizing and predicting
one, with the null model and with the bundled one, tokenizer `full`. Metrics must stay below 1 % of a frame.
Traces are off unless asked for; theirs are what Ingest does for a message that is traced, and for one that is
left out. Nobody takes the spans here.

Beside it, the time of what `GET /metrics` does with 200 streams, which has to stay below 50 ms on a machine
with nothing else to do; on a busy one the least says more than the median.
"""

from __future__ import annotations

import logging
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import ray
from prometheus_client.exposition import choose_encoder
from rich.console import Console
from rich.table import Table

from benchmarks.common import sample_frames, write_results
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from workers.contract.keys import StreamKeys
from workers.contract.messages import TokenSettings
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import to_fields
from workers.contract.stream_store import StreamStore
from workers.gateway.metrics import ServiceCollector, look
from workers.inference.metrics import PassMetrics, WriteMetrics
from workers.ingest.metrics import IngestMetrics
from workers.telemetry.tracing import Tracing

MOST_SHARE = 0.01
MOST_SCRAPE_MS = 50.0
MESSAGES = 5000
ROUNDS = 5
STREAMS = 200
FRAMES = {"null": 200, DEFAULT_MODEL: 16}
# Nobody listens there.
NO_COLLECTOR = "http://127.0.0.1:9"


def cpu_us(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU that one call takes; the median of some rounds."""
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) / times * 1e6)
    return statistics.median(rounds)


def metrics_us() -> float:
    """Of what a message has told, until its energy is known; a pass of its own, the worst case."""
    ingest, passes, writes = IngestMetrics(), PassMetrics(), WriteMetrics()

    def message() -> None:
        ingest.decoded(0.003)
        passes.left(0)
        passes.began(16, 0.01)
        passes.ended(0.2)
        writes.wrote("gate", 15, time.monotonic(), energy_follows=True)
        writes.settled("gate", [15])
        ingest.answered(0.25)

    return cpu_us(message, MESSAGES)


def traces_us(ratio: float, frames: list[Frame]) -> float:
    """Of a message that is sent with traces on."""
    settings = TokenSettings("null", "full", {}, "gate/null")
    tracing = Tracing(NO_COLLECTOR, ratio, "Ingest", "r1")

    def message() -> None:
        trace = tracing.message("gate", 0, frames, settings)
        if trace is not None:
            trace.done()

    try:
        return cpu_us(message, MESSAGES // 10)
    finally:
        tracing.close()


def frame_us(model: str, frames: int) -> float:
    """Of a frame of the clip, from the file to the prediction."""
    engine = Engine(load_model(model, None, "cpu"))

    def clip() -> None:
        read = sample_frames("bikes", engine.model.input, limit=frames)
        for first in range(0, len(read), 8):
            engine.submit(read[first : first + 8], FullTokenizer()).result()

    clip()
    return cpu_us(clip, 1) / frames


def scrape_ms() -> dict[str, float]:
    """Median and least time of what `GET /metrics` does, with streams in a Redis of its own."""
    with EmbeddedRedis() as server:
        client: Any = connect(server.url)
        store = StreamStore(client)
        for number in range(STREAMS):
            spec = StreamSpec(id=f"cam-{number}", source="camera:0", model="null", tokenizer="full")
            store.add(spec)
            status = {"state": "running", "next_frame": number, "results_at": time.time(), "joules": 1.0}
            client.hset(StreamKeys(spec.id).state, mapping=to_fields(status))
        encode, _ = choose_encoder("")
        times = []
        for _ in range(50):
            began = time.monotonic()
            encode(ServiceCollector(look(client)))
            times.append((time.monotonic() - began) * 1e3)
    return {"median_ms": round(statistics.median(times), 1), "least_ms": round(min(times), 1)}


def main() -> None:
    """Measures, prints and writes it."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    scrape = scrape_ms()
    frames = {model: frame_us(model, count) for model, count in FRAMES.items()}
    ray.init(
        "local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20
    )
    message = metrics_us()
    ray.shutdown()
    some = [
        Frame(FrameTimes(pts_s=None), frame.image, frame.geometry)
        for frame in sample_frames("bikes", _input(), limit=4)
    ]
    shares = {
        f"{model}, messages of {count}": round(message / count / value, 5)
        for model, value in frames.items()
        for count in (4, 16)
    }
    figures = {
        "metrics_us_per_message": round(message, 1),
        "traced_us_per_message": round(traces_us(1.0, some), 1),
        "left_out_us_per_message": round(traces_us(0.0, some), 1),
        "frame_us": {model: round(value) for model, value in frames.items()},
        "share_of_a_frame": shares,
        f"scrape of {STREAMS} streams": scrape,
    }
    table = Table("share of a frame", "metrics", "at most")
    for name, share in shares.items():
        table.add_row(name, f"{share:.3%}", f"{MOST_SHARE:.0%}")
    table.add_row(f"GET /metrics, {STREAMS} streams", f"{scrape['least_ms']} ms", f"{MOST_SCRAPE_MS:.0f} ms")
    Console().print(table, figures, write_results("metrics", figures))


def _input() -> Any:
    return load_model("null", None, "cpu").input


if __name__ == "__main__":
    main()
