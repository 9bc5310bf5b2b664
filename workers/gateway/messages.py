"""What clients are sent, as OpenAPI describes it. Nothing is checked by these on the way: they only tell."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class LabelView(_Told):
    """A class name and its probability."""

    label: str
    score: float


class RegionView(_Told):
    """A box in the upright picture: top left, width and height in 0..1 of it."""

    x: float
    y: float
    w: float
    h: float
    score: float


class BoxView(_Told):
    """A thing in the upright picture: its name, and top left, width and height in 0..1 of the picture."""

    name: str
    score: float
    x: float
    y: float
    w: float
    h: float
    id: str | None = Field(default=None, description="Of a thing that is followed from frame to frame.")


class PredictionView(_Told):
    """What the model said of a frame; `none` of the null model."""

    kind: Literal["labels", "regions", "boxes", "embedding", "none"]
    labels: list[LabelView] | None = None
    regions: list[RegionView] | None = None
    boxes: list[BoxView] | None = None
    embedding: list[float] | None = None


class ZoneView(_Told):
    """What a zone looks like."""

    state: str = Field(description='One that it was learned in, or "unknown".')
    distance: float | None = Field(
        description="1 - cosine to the nearest state; null where the model saw nothing of the zone."
    )


class EnergyView(_Told):
    """What a frame cost; null where it is not known, and then `reason` says why."""

    joules: float | None
    above_idle_joules: float | None
    method: Literal["nvml", "rapl", "estimate", "none"]
    settled: bool = Field(description="Whether two edges of the counter bound it; provisional before.")
    uncertainty_joules: float | None
    reason: str | None = None


class TokenCounts(_Told):
    """Patch tokens of a frame, and those that were computed; null of a model without patches."""

    full: int | None
    kept: int | None


class Latencies(_Told):
    """Milliseconds."""

    decode: float
    queue: float
    infer: float
    total: float


class AuditView(_Told):
    """What an audited answer was worth, held against that of `full`."""

    cosine: float
    agreement: float | None
    change: float | None
    cost: float


class ResultView(_Told):
    """The result of one sampled frame."""

    stream: str
    frame: int = Field(description="Counts sampled frames from 0 without gaps.")
    pts_s: float | None
    pts_reason: str | None = None
    captured_at: float | None = Field(description="Unix seconds; null of a file.")
    model: str
    weights: str | None = Field(
        default=None,
        description="Of the model: bundled, published, file, or random, which mean nothing.",
    )
    runtime: str | None
    precision: str | None
    tokenizer: str
    vocab_version: int | None
    tokens: TokenCounts
    share: float | None = Field(description="Floating-point operations over those of `full`.")
    decision: str | None
    held_ms: float | None
    fidelity: AuditView | None = Field(description="Of audited frames.")
    stream_fidelity: dict[str, Any] | None
    prediction: PredictionView
    latency_ms: Latencies
    energy: EnergyView
    dropped: dict[str, int] = Field(description="Frames dropped since the result before, by reason.")
    changed: list[BoxView] | None = Field(
        default=None,
        description="Boxes of what is not as usual, with names where the stream has classes; only where "
        "it asks for them, and once something is usual.",
    )
    zones: dict[str, ZoneView] | None = Field(
        default=None, description="States of zones by name; only where the stream has some."
    )


class LateEnergy(_Told):
    """An energy that was settled after its result was sent."""

    frame: int
    energy: EnergyView


class StateChange(BaseModel):
    """What the stream does now."""

    state: str
    reason: str | None
    since: float | None = None
    at: float | None = None
    frame: int | None = None


class Gap(_Told):
    """Results that will not come; null where it is not known how many."""

    lost: int | None
    first: int | None
    reason: str


class _Event(_Told):
    id: str = Field(description="What to resume with after it.")


class PredictionMessage(_Event):
    """A result."""

    event: Literal["prediction"]
    data: ResultView


class EnergyMessage(_Event):
    """An energy."""

    event: Literal["energy"]
    data: LateEnergy


class StateMessage(_Event):
    """A state."""

    event: Literal["state"]
    data: StateChange


class GapMessage(_Event):
    """A gap."""

    event: Literal["gap"]
    data: Gap


Message = Annotated[
    PredictionMessage | EnergyMessage | StateMessage | GapMessage, Field(discriminator="event")
]


class History(_Told):
    """Results, oldest first."""

    results: list[ResultView]
    next: int | None = Field(description="What to give as `after` for the next page; null after the last.")


_REF = "#/components/schemas/{model}"
_DATA = {"prediction": ResultView, "energy": LateEnergy, "state": StateChange, "gap": Gap}
# An event of the other kind is fields of text, of which `data` is JSON.
EVENTS_SCHEMA: dict[str, Any] = {
    "oneOf": [
        {
            "type": "object",
            "required": ["event", "id", "data"],
            "properties": {
                "event": {"const": name},
                "id": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": _REF.format(model=data.__name__)},
                },
            },
        }
        for name, data in _DATA.items()
    ]
}


def describe_messages(app: FastAPI) -> None:
    """Adds the WebSocket and what it sends to the OpenAPI of an app, which FastAPI leaves out."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        found = plain()
        message = TypeAdapter(Message).json_schema(ref_template=_REF)
        found["components"]["schemas"] |= message.pop("$defs")
        stream = {"name": "stream", "in": "path", "required": True, "schema": {"type": "string"}}
        after = {"name": "after", "in": "query", "schema": {"type": "string"}}
        found["paths"]["/v1/streams/{stream}/ws"] = {
            "get": {
                "tags": ["results"],
                "summary": "Results over a WebSocket",
                "description": "The events of `/results`, each a message of JSON; it heeds no input.",
                "parameters": [stream, after],
                "responses": {
                    "101": {
                        "description": "Each message is one of these.",
                        "content": {"application/json": {"schema": message}},
                    }
                },
            }
        }
        return found

    app.openapi = openapi  # type: ignore[method-assign]
