"""Every metric there is, named and explained once. Dashboards and alerts rely on these names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ray.util.metrics import Histogram

# Of drops; any other reason counts as "other", so that the label stays bounded.
REASONS = ("late", "corrupt", "other")
# Among what a stream dropped: no frame, but a break that lost an unknown number of them.
GAP = "gap"
# Boundaries of every histogram of seconds.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Described:
    """A metric.

    Attributes:
        name: as it is exposed; a counter's ends in _total.
        kind: what it is to Prometheus.
        help: what it says, with its unit.
        labels: names of its labels. None of them holds a source, or anything else without a bound.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_STREAM = ("stream",)

FRAMES = Described("vwt_frames_total", "counter", "Sampled frames of a stream that have a result.", _STREAM)
DROPPED = Described(
    "vwt_frames_dropped_total",
    "counter",
    "Frames dropped: late (inference was slower than the source), corrupt (could not be decoded), other.",
    ("stream", "reason"),
)
GAPS = Described(
    "vwt_stream_gaps_total",
    "counter",
    "Breaks of a source (reconnects, for instance); each lost an unknown number of frames.",
    _STREAM,
)
TOKENS_FULL = Described(
    "vwt_tokens_full_total", "counter", "Patch tokens of the full grid, before the tokenizer.", _STREAM
)
TOKENS_KEPT = Described(
    "vwt_tokens_kept_total", "counter", "Patch tokens that entered the encoder, after the tokenizer.", _STREAM
)
JOULES = Described(
    "vwt_joules_total",
    "counter",
    "Joules of the frames whose energy is known, by how it was metered; no sample while none is.",
    ("stream", "method"),
)
VOCABULARY = Described(
    "vwt_vocabulary_version",
    "gauge",
    "Version of the visual words of the last result; no sample without words.",
    _STREAM,
)
RESULT_AGE = Described(
    "vwt_result_age_seconds", "gauge", "Seconds since the last result; no sample before the first.", _STREAM
)

AUDITS = Described(
    "vwt_audits",
    "gauge",
    "Frames of a stream that were answered in full, too, since its settings began; no sample before the "
    "first.",
    _STREAM,
)
MISSED = Described(
    "vwt_missed_ratio",
    "gauge",
    "Share of a stream's answers whose cosine to those of full is below its target, by its audits: low, "
    "mean, high. low and high bound it with a confidence of 95 %, however often one looks.",
    ("stream", "bound"),
)
SAVED = Described(
    "vwt_saved_ratio",
    "gauge",
    "Share of the operations, time and joules of full that a frame saves, by audits: low, mean, high. low "
    "and high bound it with a confidence of 95 %, however often one looks; operations are counted on all "
    "frames.",
    ("stream", "of", "bound"),
)
GUARD_FULL = Described(
    "vwt_guard_full",
    "gauge",
    "1 while a stream runs in full because what it is promised cannot be held otherwise; no sample without a "
    "guard.",
    _STREAM,
)

INFO = Described(
    "vwt_stream_info", "gauge", "Always 1: how a stream is run.", ("stream", "model", "tokenizer")
)
STATE = Described(
    "vwt_stream_state", "gauge", "1 for the state that a stream is in, 0 for the others.", ("stream", "state")
)
LATENCY = Described(
    "vwt_stream_latency_seconds",
    "gauge",
    "Median time from the start of decoding to the end of inference, of late; while the stream is running.",
    _STREAM,
)
LOST = Described(
    "vwt_stream_lost_ratio",
    "gauge",
    "Share of the frames of late that were dropped because inference was slower than the source, 0 below "
    "5 %; while the stream is running.",
    _STREAM,
)
RESTARTS = Described(
    "vwt_stream_restarts_total",
    "counter",
    "How often another replica had to take the stream over.",
    _STREAM,
)
SINK_LAG = Described(
    "vwt_sink_lag_results",
    "gauge",
    "Results that wait for a sink; no sample before it was first tried.",
    ("stream", "sink"),
)
SINK_LOST = Described(
    "vwt_sink_lost_results_total",
    "counter",
    "Results a sink never got, because Redis kept them no longer.",
    ("stream", "sink"),
)
STREAMS = Described("vwt_streams", "gauge", "Streams in a state.", ("state",))
TOLD = Described(
    "vwt_streams_told",
    "gauge",
    "Streams with metrics of their own: all, or of more than gateway.metrics_streams those that something is "
    "wrong with.",
)
ALL_FPS = Described("vwt_streams_frames_per_second", "gauge", "Results per second of late, of all streams.")
ALL_LATENCY = Described(
    "vwt_streams_latency_seconds",
    "gauge",
    "Mean over running streams of vwt_stream_latency_seconds; no sample while none runs.",
)
ALL_KEPT = Described(
    "vwt_streams_kept_ratio",
    "gauge",
    "Patch tokens that entered the encoder over those of the full grid, of all streams there are, since each "
    "began; no sample before the first.",
)
ALL_LAG = Described("vwt_streams_sink_lag_results", "gauge", "Results that wait for sinks, of all streams.")
WRONG = Described(
    "vwt_streams_wrong",
    "gauge",
    "Streams that something is wrong with, by what: state (not running, though it should), quiet (no result "
    "for a minute), lost (inference is slower than the source), target (missed, or only held in full), sink "
    "(behind).",
    ("what",),
)
REDIS_UP = Described(
    "vwt_redis_up", "gauge", "1 when Redis answered this look, else 0; then there is nothing else."
)
REDIS_MEMORY = Described(
    "vwt_redis_memory_ratio",
    "gauge",
    "Part of its maxmemory that Redis uses, 0 to 1; nothing where it has no limit.",
)
CELL_UP = Described(
    "vwt_cell_up",
    "gauge",
    "1 for each cell that answered this look, else 0; then there is nothing else of it.",
    ("cell",),
)

ABOVE_IDLE = Described(
    "vwt_joules_above_idle_total",
    "counter",
    "The part of vwt_joules_total above the idle power of the device, of the frames where it is known.",
    ("stream", "method"),
)
STAGE = Described(
    "vwt_stage_seconds",
    "histogram",
    "Time of a frame in a stage: decode, queue, infer; total is from the start of decoding to the end of "
    "inference.",
    ("stream", "stage"),
)

PASS_FRAMES = Described(
    "vwt_inference_frames_total", "counter", "Frames of all streams that passes began with."
)
PASS = Described("vwt_inference_pass_seconds", "histogram", "Time of a pass on the device.")
WAITED = Described(
    "vwt_inference_wait_seconds", "histogram", "How long the frames waited that had waited longest in a pass."
)
BACKLOG = Described(
    "vwt_inference_backlog_frames",
    "gauge",
    "Frames that wait for a pass; Ray forgets it when nothing ran for some seconds.",
)
WRITE = Described(
    "vwt_inference_write_seconds",
    "histogram",
    "From the end of a stream's frames until Redis has the results.",
)
SETTLE = Described(
    "vwt_inference_settle_seconds",
    "histogram",
    "From results in Redis until the energy of the last is known.",
)

DECODE = Described(
    "vwt_ingest_decode_seconds",
    "histogram",
    "Time to decode a frame and make it the model's input; the mean of a message.",
)
RECALL_BYTES = Described(
    "vwt_inference_recall_bytes", "gauge", "Memory for what the replica's streams recall from."
)
RECALL_FORGOTTEN = Described(
    "vwt_inference_recall_forgotten_total",
    "counter",
    "How often a stream lost what it recalls from, to make room; each time costs it one full frame.",
)
ROUND_TRIP = Described(
    "vwt_ingest_round_trip_seconds", "histogram", "From sending a message until its results are durable."
)
UNDER_WAY = Described(
    "vwt_ingest_under_way_frames", "gauge", "Frames that were sent and have no durable result yet."
)
RECONNECTS = Described(
    "vwt_ingest_reconnects_total", "counter", "How often a source was lost and looked for again."
)
LEASES = Described(
    "vwt_ingest_leases_total",
    "counter",
    "Streams taken, lost to another replica, and handed over to one.",
    ("change",),
)
HELD = Described("vwt_ingest_streams", "gauge", "Streams that the replica holds.")
STREAM_CORES = Described(
    "vwt_ingest_stream_cores",
    "gauge",
    "Part of a core that a stream of the replica takes, by which it takes more and replicas are added.",
)
EVENTS = Described(
    "vwt_events_total",
    "counter",
    "Events that began, by what their rules are about (box, changed, region, zone, label, novelty, cut, "
    "stream, guard) and their severity (info, warning, alarm).",
    ("what", "severity"),
)
EVENTS_OPEN = Described(
    "vwt_events_open", "gauge", "Events under way, of the streams that the replica holds."
)
EVENT_FAILURES = Described(
    "vwt_event_failures_total",
    "counter",
    "Events without what they were to have: a snapshot, or a clip that a rule asks for.",
    ("part",),
)

LEARN = Described("vwt_keeper_learn_seconds", "histogram", "Time to learn the words of a scope.")
PUBLISHED = Described("vwt_keeper_versions_total", "counter", "Versions of words that were published.")
KEEPER_FAILED = Described(
    "vwt_keeper_failures_total", "counter", "Looks at a scope that failed; its words stay as they are."
)
MATCHED = Described(
    "vwt_keeper_matched_ratio",
    "gauge",
    "Share of a scope's window that lies near a word, at the last look; of the first 64 scopes.",
    ("scope",),
)

_BOTH = (FRAMES, DROPPED, GAPS, TOKENS_FULL, TOKENS_KEPT, JOULES, ABOVE_IDLE, VOCABULARY, RESULT_AGE)
# At `GET /metrics` of the service.
SERVICE = (
    *_BOTH,
    AUDITS,
    MISSED,
    SAVED,
    GUARD_FULL,
    INFO,
    STATE,
    LATENCY,
    LOST,
    RESTARTS,
    SINK_LAG,
    SINK_LOST,
    STREAMS,
    TOLD,
    ALL_FPS,
    ALL_LATENCY,
    ALL_KEPT,
    ALL_LAG,
    WRONG,
    REDIS_UP,
    REDIS_MEMORY,
)
# At `GET /metrics` of `vwt cells`, beside those of `SERVICE` that are of no single stream, by cell.
CELLS = (CELL_UP,)
# Of `vwt run --metrics-port`.
RUN = (*_BOTH, STAGE)
# Of each replica, at the metrics port of its node's Ray, which puts "ray_" before the names. The sums of its
# histograms are Ray's estimates, made of their buckets.
INFERENCE = (PASS_FRAMES, PASS, WAITED, BACKLOG, RECALL_BYTES, RECALL_FORGOTTEN, WRITE, SETTLE)
INGEST = (
    DECODE,
    ROUND_TRIP,
    UNDER_WAY,
    RECONNECTS,
    LEASES,
    HELD,
    STREAM_CORES,
    EVENTS,
    EVENTS_OPEN,
    EVENT_FAILURES,
)
KEEPER = (LEARN, PUBLISHED, KEEPER_FAILED, MATCHED)
REPLICA = (*INFERENCE, *INGEST, *KEEPER)


def by_reason(dropped: Mapping[str, int]) -> dict[str, int]:
    """Counts of dropped frames under the reasons of `REASONS`, gaps left out."""
    counts = dict.fromkeys(REASONS, 0)
    for reason, count in dropped.items():
        if reason != GAP:
            counts[reason if reason in counts else "other"] += count
    return counts


def histogram(metric: Described) -> Histogram:
    """A histogram of seconds that Ray exports."""
    from ray.util.metrics import Histogram

    return Histogram(metric.name, metric.help, boundaries=list(SECONDS))
