"""What the service is configured with. Where the values come from: `workers.settings.loading`."""

from __future__ import annotations

import importlib
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from pipeline.defaults import (
    DEFAULT_CLIP_BUFFER_BYTES,
    DEFAULT_MAX_PIXELS,
    DEFAULT_MIN_SCORE,
    DEFAULT_MODEL,
    DEFAULT_OPEN_TIMEOUT_S,
    DEFAULT_PRECISION,
    DEFAULT_RELEARN_AFTER_S,
    DEFAULT_STALL_TIMEOUT_S,
    DEFAULT_WATTS_PER_CORE,
    DEFAULT_WINDOW_FPS,
    DEFAULT_WINDOW_PATCHES,
    HUB_PREFIX,
)
from pipeline.energy.registry import AUTO, meter_choices, no_such_meter
from pipeline.fit import Fit
from pipeline.results import RANDOM_WEIGHTS
from pipeline.runtimes import precision_choices, runtime_choices
from workers.settings.budget import Budget
from workers.settings.input_fields import SizeText
from workers.settings.text_towers import TextTowerChoice

# Instead of a file of weights.
PUBLISHED = "published"


def _full_path(path: Path) -> Path:
    # Replicas run in folders of their own.
    return path.expanduser().absolute()


def _split(value: Any) -> Any:
    # As an environment variable gives it.
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _check_host(host: str) -> str:
    if "/" in host:
        ipaddress.ip_network(host, strict=False)
    return host


def _check_collector(endpoint: str) -> str:
    url = urlsplit(endpoint)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("it must be a URL as http://localhost:4318")
    if "@" in url.netloc:
        raise ValueError("credentials of a collector go into OTEL_EXPORTER_OTLP_HEADERS")
    try:
        importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    except ImportError:
        raise ValueError("traces need more packages: pip install 'vwt-stream[trace]'") from None
    return endpoint


def _check_meter(name: str) -> str:
    if name not in meter_choices():
        raise ValueError(no_such_meter(name))
    return name


def _one_of(choices: Sequence[str]) -> AfterValidator:
    def check(name: str) -> str:
        if name not in choices:
            raise ValueError(f"{name!r} is none of {', '.join(choices)}")
        return name

    return AfterValidator(check)


def _full_weights(weights: str) -> str:
    plain = weights in (RANDOM_WEIGHTS, PUBLISHED) or weights.startswith(HUB_PREFIX)
    return weights if plain else str(_full_path(Path(weights)))


Positive = Annotated[float, Field(gt=0)]
FullPath = Annotated[Path, AfterValidator(_full_path)]
Host = Annotated[str, AfterValidator(_check_host)]
MeterName = Annotated[str, AfterValidator(_check_meter)]
PrecisionName = Annotated[str, _one_of(precision_choices())]
RuntimeName = Annotated[str, _one_of(runtime_choices())]
Weights = Annotated[str, AfterValidator(_full_weights)]
Scheme: TypeAlias = Literal["rtsp", "rtsps", "http", "https", "sample", "file", "camera"]


class Scaling(BaseModel):
    """How many replicas a deployment may have."""

    model_config = ConfigDict(extra="forbid")

    min_replicas: Annotated[int, Field(ge=1)] = 1
    max_replicas: Annotated[int, Field(ge=1)] = 1
    upscale_delay_s: Annotated[float, Field(ge=0)] = 5.0
    downscale_delay_s: Annotated[float, Field(ge=0)] = 60.0


class GatewaySettings(BaseModel):
    """The HTTP side.

    Attributes:
        max_connections: requests and streams of results that a replica serves at once; more are refused. A
            tenth is kept for health and for looking after streams.
        max_connections_per_client: of those, how many one client may have: who holds a token, or an address.
        max_image_bytes, max_image_pixels: of an image to predict.
        max_body_bytes: of any other body.
        metrics_streams: up to so many streams `/metrics` tells of each; of more it tells sums, and of those
            that something is wrong with, as many at most.
        price_per_kwh: what the bill counts energy at; None for no money on it.
        currency: of that price, as EUR; None to leave it out.
    """

    model_config = ConfigDict(extra="forbid")

    replicas: Annotated[int, Field(ge=1)] = 1
    num_cpus: Annotated[float, Field(ge=0)] = 0.1
    max_connections: Annotated[int, Field(ge=1)] = 1000
    max_connections_per_client: Annotated[int, Field(ge=1)] = 300
    max_image_bytes: Annotated[int, Field(ge=1024)] = 20 * 2**20
    max_image_pixels: Annotated[int, Field(ge=1)] = 64_000_000
    max_body_bytes: Annotated[int, Field(ge=1024)] = 64 * 1024
    metrics_streams: Annotated[int, Field(ge=0)] = 500
    price_per_kwh: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] | None = None


class IngestSettings(BaseModel):
    """The side that reads sources.

    Attributes:
        cores_per_replica: what the scaling aims at: a replica takes new streams at once as long as by what it
            measures they take no more CPU than that together. Of those that another left it takes its fair
            part at once. `num_cpus`, which Ray sets aside for it, is best no less.
        streams_per_replica: as many at most, however little they take.
        max_streams_per_replica: what it takes when nobody else has taken a stream for a while.
        micro_batch: most frames in one message to Inference; files begin with 16, live streams send up to 4.
        in_flight: messages of one stream under way at most; more wait in its reader, or are dropped there.
        lease_s: a stream whose reader died is taken over after this long.
        poll_s: seconds between looks at the list of streams.
        max_pixels: of a picture of a source; a decoder may keep nine of them, or more that are smaller.
        clip_buffer_bytes: of the newest packets of a stream, for clips of events; of streams whose rules ask
            for clips alone.
        decode: what is decoded of a stream that is sampled, as `vwt run --decode` takes it.
    """

    model_config = ConfigDict(extra="forbid")

    scaling: Scaling = Scaling(max_replicas=4)
    num_cpus: Annotated[float, Field(ge=0)] = 0.5
    cores_per_replica: Positive = 0.8
    streams_per_replica: Annotated[int, Field(ge=1)] = 64
    max_streams_per_replica: Annotated[int, Field(ge=1)] = 256
    micro_batch: Annotated[int, Field(ge=1, le=256)] = 64
    in_flight: Annotated[int, Field(ge=1, le=16)] = 2
    lease_s: Positive = 5.0
    poll_s: Positive = 0.5
    open_timeout_s: Positive = DEFAULT_OPEN_TIMEOUT_S
    stall_timeout_s: Positive = DEFAULT_STALL_TIMEOUT_S
    decoder: Literal["auto", "cpu", "cuda"] = "auto"
    rtsp_transport: Literal["tcp", "udp"] = "tcp"
    decode: Literal["all", "needed", "keyframes"] = "needed"
    max_pixels: Annotated[int, Field(ge=1)] = DEFAULT_MAX_PIXELS
    clip_buffer_bytes: Annotated[int, Field(ge=2**16)] = DEFAULT_CLIP_BUFFER_BYTES


class InferenceSettings(BaseModel):
    """The side that predicts.

    Attributes:
        num_gpus: share of a GPU per replica, which is no limit to the memory that it takes; 0 for the CPU.
            `vwt serve` starts no more replicas than fit on the cards.
        batch: most frames of all streams in one pass.
        batch_wait_s: how long a pass may wait for more frames, once it has one.
        max_models: models a replica keeps loaded; the one not used for longest goes.
        recall_bytes: memory of a replica for what streams recall from; beyond it the stream not used for
            longest loses its own and pays one full frame. Passes under way may add a frame each.
        weights: file of weights by model name, or of a detector "hf-hub:OWNER/NAME"; "random" for none,
            "published" to allow streams a model of the model hub (hf-hub:owner/name) or of a folder
            (local-dir:path).
        names: file with the names of its classes by model name, as `vwt run --names` takes it.
        labels: file of vectors by model name that its embeddings are labelled by, as `vwt run --labels` takes
            it.
        text_towers: by model name what embeds the texts that its histories are searched by; "published" for
            the one that its published weights were trained beside. Labels need none.
        precision, runtime: what models compute in, as `vwt run --precision` and `--runtime` take them.
        calibrate: video that int8 and `auto` are fitted to; None for the first frames that a model sees.
        embedding: add the pooled features to predictions of another kind, as `vwt run --embedding` does.
        min_score: that a box of a detector has at least, as `vwt run --min-score` takes it.
        meter: where joules come from, as `vwt run --meter` takes it.
        watts_per_core: what the estimate takes a busy CPU core to draw.
        target_backlog_s: replicas are added when frames wait longer than this.
    """

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    scaling: Scaling = Scaling(max_replicas=4)
    num_cpus: Annotated[float, Field(ge=0)] = 1.0
    num_gpus: Annotated[float, Field(ge=0)] = 0.0
    batch: Annotated[int, Field(ge=1, le=1024)] = 16
    batch_wait_s: Annotated[float, Field(ge=0, le=1)] = 0.002
    max_models: Annotated[int, Field(ge=1)] = 2
    recall_bytes: Annotated[int, Field(ge=0)] = 2**30
    weights: dict[str, Weights] = Field(default_factory=dict)
    names: dict[str, FullPath] = Field(default_factory=dict)
    labels: dict[str, FullPath] = Field(default_factory=dict)
    text_towers: dict[str, TextTowerChoice] = Field(default_factory=dict)
    precision: PrecisionName = DEFAULT_PRECISION
    runtime: RuntimeName = AUTO
    calibrate: FullPath | None = None
    embedding: bool = False
    min_score: Annotated[float, Field(ge=0, le=1)] = DEFAULT_MIN_SCORE
    target_backlog_s: Positive = 0.5
    meter: MeterName = AUTO
    watts_per_core: Positive = DEFAULT_WATTS_PER_CORE


class KeeperSettings(BaseModel):
    """The side that learns words."""

    model_config = ConfigDict(extra="forbid")

    replicas: Annotated[int, Field(ge=1)] = 1
    num_cpus: Annotated[float, Field(ge=0)] = 0.1
    check_every_s: Positive = 5.0
    relearn_after_s: Positive = DEFAULT_RELEARN_AFTER_S
    window_fps: Positive = DEFAULT_WINDOW_FPS
    window_patches: Annotated[int, Field(ge=1)] = DEFAULT_WINDOW_PATCHES


class AccessSettings(BaseModel):
    """Who may do what, and what may be read. A list may also be given as text with commas.

    Attributes:
        token_file: hashed bearer tokens; None for none, then only loopback may be bound.
        allow_schemes: schemes of sources.
        allow_hosts: hosts, or networks as 192.168.1.0/24, that may be read though their address is private;
            "*" for any.
        allow_folders: folders whose files may be read.
    """

    model_config = ConfigDict(extra="forbid")

    token_file: FullPath | None = None
    allow_schemes: Annotated[list[Scheme], BeforeValidator(_split)] = [
        "rtsp",
        "rtsps",
        "http",
        "https",
        "sample",
        "file",
        "camera",
    ]
    allow_hosts: Annotated[list[Host], BeforeValidator(_split)] = Field(default_factory=list)
    allow_folders: Annotated[list[FullPath], BeforeValidator(_split)] = Field(default_factory=list)


class TraceSettings(BaseModel):
    """Traces of messages from decoding to results, for whoever runs an OpenTelemetry collector.

    Needs `pip install 'vwt-stream[trace]'`. Headers that the collector asks for, such as a token, come from
    OTEL_EXPORTER_OTLP_HEADERS in the environment of the replicas.

    Attributes:
        endpoint: base URL that takes OTLP over HTTP, as http://localhost:4318; None for no traces.
        ratio: share of the messages that are traced.
        energy: have joules and watts of the devices with a counter go there as well, as metrics.
    """

    model_config = ConfigDict(extra="forbid")

    endpoint: Annotated[str, AfterValidator(_check_collector)] | None = None
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.05
    energy: bool = True


class ServiceSettings(BaseModel):
    """All of the service.

    Attributes:
        host, port: what the HTTP side binds.
        redis: URL of the server; None for an embedded one.
        ray_address: of a running Ray cluster; None to start one here.
        ray_metrics_port: where Prometheus finds the metrics of replicas, at every address of this machine and
            without a token; None for a port of the loopback that Ray picks, as all its others are. Of the Ray
            that is started here.
        data_folder: where the embedded server and clips of events are kept; None for ~/.local/state/vwt.
        clip_folder: for those clips, one that all nodes share; None for "clips" in the data folder.
        clip_bytes: of all clips in it; the oldest go first.
        key_file: keys that seal the specs of streams in Redis, with credentials of sources and sinks; None to
            keep them in clear. See `vwt key`.
        redis_bytes: memory for data of the embedded server; beyond it nothing more is written.
        model: of streams that name none.
        fit, size: of its input, for the same streams, see `InputFields`; None as suits the model.
        kept_results: how many results of a stream Redis keeps, give or take a few.
        kept_events, kept_snapshots: how many events of a stream, and pictures of them, Redis keeps.
        budget: what all streams may take together, see `Budget`; Inference then has one replica. None for as
            much as there is.
        log_format: of what the service and its replicas log; "json" for one object per line.
    """

    model_config = ConfigDict(extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    redis: str | None = Field(default=None, repr=False)
    ray_address: str | None = None
    ray_metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    data_folder: FullPath | None = None
    clip_folder: FullPath | None = None
    clip_bytes: Annotated[int, Field(ge=2**16)] = 2 * 2**30
    key_file: FullPath | None = None
    redis_bytes: Annotated[int, Field(ge=64 * 2**20)] = 2 * 2**30
    model: str = DEFAULT_MODEL
    fit: Fit | None = None
    size: SizeText | None = None
    kept_results: Annotated[int, Field(ge=100)] = 10_000
    kept_events: Annotated[int, Field(ge=1, le=100_000)] = 1000
    kept_snapshots: Annotated[int, Field(ge=1, le=10_000)] = 64
    budget: Budget | None = None
    log_format: Literal["text", "json"] = "text"
    gateway: GatewaySettings = GatewaySettings()
    ingest: IngestSettings = IngestSettings()
    inference: InferenceSettings = InferenceSettings()
    keeper: KeeperSettings = KeeperSettings()
    access: AccessSettings = AccessSettings()
    trace: TraceSettings = TraceSettings()

    @property
    def model_settings(self) -> dict[str, str | None]:
        """What a stream gets that names no model."""
        return {"model": self.model, "fit": self.fit, "size": self.size}
