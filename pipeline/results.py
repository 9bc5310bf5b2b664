"""The result of one frame: the JSON object every consumer reads."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from pipeline.boxes import Box
from pipeline.frame import FrameTimes, Pixels
from pipeline.guard.stream_fidelity import StreamFidelity
from pipeline.runtimes import NOT_COMPUTED, Computed

# Where a model's weights are from. What random ones say means nothing.
Weights: TypeAlias = Literal["bundled", "published", "file", "random"]
RANDOM_WEIGHTS: Weights = "random"
# The state of a zone that looks like none of those it was learned in.
UNKNOWN = "unknown"
# What a box is called that changed, where no names were learned.
CHANGED = "changed"


# Rows and columns of the cells that features are pooled over.
CELLS = 4


class Answers(NamedTuple):
    """What a model's predictions are of.

    Attributes:
        kind: of `Prediction`; None where it is not known.
        names: of all labels or boxes it may give; None where they have none, or are not known.
    """

    kind: str | None = None
    names: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """A class name and its probability (0..1)."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Region:
    """A box in the upright source picture; x, y (top left), w, h in 0..1 of its width and height."""

    x: float
    y: float
    w: float
    h: float
    score: float


@dataclass(frozen=True, slots=True)
class ZoneState:
    """What a zone looks like.

    Attributes:
        state: one that it was learned in, or "unknown".
        distance: 1 - cosine to the mean of the nearest; None where the model saw nothing of the zone.
    """

    state: str
    distance: float | None

    def to_dict(self) -> dict[str, Any]:
        """As results have it."""
        return {"state": self.state, "distance": None if self.distance is None else round(self.distance, 4)}


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model said of a frame.

    Attributes:
        kind: "labels", "regions", "boxes", "embedding" or "none" (the null model).
        labels: best first, for kind "labels".
        regions: best first, for kind "regions".
        boxes: best first, for kind "boxes".
        cells: (4, 4, C) mean features of the patches in each sixteenth of the input, where they were asked
            for; in no JSON.
        embedding: the pooled feature vector, for kind "embedding" or when asked for with another kind.
    """

    kind: str
    labels: Sequence[Label] = ()
    regions: Sequence[Region] = ()
    embedding: Sequence[float] | None = None
    boxes: Sequence[Box] = ()
    cells: npt.NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    def trimmed(self, embedding: bool) -> Prediction:
        """The same without what was computed for a history only; a vector that is the prediction stays.

        Args:
            embedding: whether the pooled features were asked for.
        """
        kept = self.embedding if embedding or self.kind == "embedding" else None
        if kept is self.embedding and self.cells is None:
            return self
        return replace(self, embedding=kept, cells=None)

    def to_dict(self) -> dict[str, Any]:
        """The `prediction` object of a result."""
        out: dict[str, Any] = {"kind": self.kind}
        if self.kind == "labels":
            out["labels"] = [{"label": x.label, "score": round(x.score, 5)} for x in self.labels]
        elif self.kind == "regions":
            out["regions"] = [
                {k: round(getattr(r, k), 4) for k in ("x", "y", "w", "h", "score")} for r in self.regions
            ]
        elif self.kind == "boxes":
            out["boxes"] = [box.to_dict() for box in self.boxes]
        if self.embedding is not None:
            out["embedding"] = [round(v, 6) for v in self.embedding]
        return out


@dataclass(frozen=True, slots=True)
class Energy:
    """What a frame cost.

    Attributes:
        joules: energy attributed to the frame; None when unknown, then `reason` says why.
        above_idle_joules: the part above the idle power of the device; None when unknown.
        method: "nvml", "rapl", "estimate" or "none".
        settled: True when two counter edges bound the figure; before that it is provisional.
        uncertainty_joules: half-width of the error bound; None when unknown.
        reason: why a figure is null or shared; None when there is nothing to say.
    """

    joules: float | None = None
    above_idle_joules: float | None = None
    method: str = "none"
    settled: bool = False
    uncertainty_joules: float | None = None
    reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The `energy` object of a result; figures to the microjoule."""
        out: dict[str, Any] = {
            "joules": _micro(self.joules),
            "above_idle_joules": _micro(self.above_idle_joules),
            "method": self.method,
            "settled": self.settled,
            "uncertainty_joules": _micro(self.uncertainty_joules),
        }
        if self.reason is not None:
            out["reason"] = self.reason
        return out


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audited answer was worth, held against that of `full` on the same frame.

    Attributes:
        cosine: of the pooled features.
        agreement: whether labels, regions or boxes are the same, 0..1; None where there is but a vector.
        change: cosine between how the answers moved since the stream's audit before, and how those of `full`
            did; 0 where the answer stood still. None for the first audit, and where `full` stood still.
        cost: what part of the frame's operations, and so of its energy, the audit took.
        stream: what is known of the stream since, this audit included.
    """

    cosine: float
    agreement: float | None
    change: float | None
    cost: float
    stream: StreamFidelity

    def to_dict(self) -> dict[str, Any]:
        """The `fidelity` object of a result."""
        return {
            "cosine": round(self.cosine, 5),
            "agreement": None if self.agreement is None else round(self.agreement, 4),
            "change": None if self.change is None else round(self.change, 4),
            "cost": round(self.cost, 4),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameResult:
    """One result per sampled frame.

    `frame` counts sampled frames from 0 without gaps. `tokens_full` and `tokens_kept` count patch tokens,
    prefix tokens not included; None for a model without patches. `dropped` counts the frames dropped
    since the result before this one, by reason. `total_ms` runs from the start of decoding to the end of
    inference of the frame's batch. `vocab_version` is None where no vocabulary was used (also during the
    warm-up of `inter`). `share` is the frame's floating-point operations, planning included, over those of
    `full`; None for a model without patches. `decision` is how a stream that recalls was answered: "hold",
    "recall", "merged", "full" or "escalated"; None for other tokenizers. `held_ms` is the age of a held
    answer, None for a fresh one. `fidelity` is there on audited frames, whose energy holds that of the audit;
    `share` and `tokens_kept` do not. `weights` says where those of the model are from, None for a model
    without: what random ones predict means nothing. `computed` names runtime and precision of the model.
    `image` is the upright source picture, uint8 RGB (H, W, 3), where it was asked for. `device_ms` is the
    frame's part of `infer_ms`, which is of its pass, by operations, audits included; `probed` of a frame that
    ran in full and was drawn the part of its cost that is not for looking at the tokenizer. These last three
    go into no JSON. `changed` are boxes of what is not as usual, by names that were learned or "unknown",
    "changed" where none were; None where nobody asked or nothing is usual yet. `zones` are the states of
    zones by name, None where nobody asked. JSON has neither then.
    """

    stream: str
    frame: int
    times: FrameTimes
    model: str
    weights: Weights | None = None
    tokenizer: str
    tokens_full: int | None
    tokens_kept: int | None
    prediction: Prediction
    queue_ms: float
    infer_ms: float
    total_ms: float
    energy: Energy = field(default_factory=Energy)
    computed: Computed = NOT_COMPUTED
    vocab_version: int | None = None
    share: float | None = None
    decision: str | None = None
    held_ms: float | None = None
    fidelity: Audit | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)
    image: Pixels | None = field(default=None, repr=False, compare=False)
    device_ms: float | None = None
    probed: float | None = None
    changed: Sequence[Box] | None = None
    zones: Mapping[str, ZoneState] | None = None

    @property
    def pts_s(self) -> float | None:
        """Presentation time in seconds from the container; None where it has none."""
        return self.times.pts_s

    def trimmed(self, embedding: bool) -> FrameResult:
        """See `Prediction.trimmed`."""
        prediction = self.prediction.trimmed(embedding)
        return self if prediction is self.prediction else replace(self, prediction=prediction)

    def to_dict(self) -> dict[str, Any]:
        """The JSON object of the design, keys in its order."""
        pts_s = self.times.pts_s
        out: dict[str, Any] = {
            "stream": self.stream,
            "frame": self.frame,
            "pts_s": None if pts_s is None else round(pts_s, 6),
            "captured_at": self.times.captured_at,
            "model": self.model,
            "weights": self.weights,
            "runtime": self.computed.runtime,
            "precision": self.computed.precision,
            "tokenizer": self.tokenizer,
            "vocab_version": self.vocab_version,
            "tokens": {"full": self.tokens_full, "kept": self.tokens_kept},
            "share": None if self.share is None else round(self.share, 4),
            "decision": self.decision,
            "held_ms": None if self.held_ms is None else round(self.held_ms, 3),
            "fidelity": None if self.fidelity is None else self.fidelity.to_dict(),
            "stream_fidelity": None if self.fidelity is None else self.fidelity.stream.to_dict(),
            "prediction": self.prediction.to_dict(),
            "latency_ms": {
                "decode": round(self.times.decode_ms, 3),
                "queue": round(self.queue_ms, 3),
                "infer": round(self.infer_ms, 3),
                "total": round(self.total_ms, 3),
            },
            "energy": self.energy.to_dict(),
            "dropped": dict(self.dropped),
        }
        if self.changed is not None:
            out["changed"] = [box.to_dict() for box in self.changed]
        if self.zones is not None:
            out["zones"] = {name: zone.to_dict() for name, zone in self.zones.items()}
        if pts_s is None:
            out["pts_reason"] = "the container gives no presentation time for this frame"
        return out

    def to_json(self) -> str:
        """One line of JSON without a line end."""
        return json.dumps(self.to_dict(), separators=(",", ":"), allow_nan=False)


def _micro(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
