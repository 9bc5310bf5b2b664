"""What a stream is doing, as it stands in Redis and in the API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

State = Literal["starting", "running", "reconnecting", "ended", "failed", "paused"]
STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamStatus:
    """A stream's state; the fields of the hash `StreamKeys.state`, each as JSON.

    Attributes:
        state: see `State`.
        reason: why, in one line without credentials; None when there is nothing to say.
        since: Unix seconds when the state began.
        retry_at: Unix seconds when a stream that failed is tried again; None when it is not.
        revision: of the spec that it is about.
        live: whether the source comes at its own pace; None before it was opened.
        width, height: of its upright picture in pixels; None before it was opened.
        decoding: of its source: {"how", "reason", "share"}: "all", "needed" or "keyframes", why all where
            less was asked for, and frames decoded over frames read; None before the first frames.
        tokenizer: in use; None before the model was asked which it takes.
        idle_rules: a line for each of its rules that can make no event as things are, see
            `pipeline.events.sense`; begins with "rule NAME ".
        ingest: who reads it: {"replica", "node", "pid"}; None when nobody does.
        inference: who predicted last: {"replica", "node", "pid"}; None before.
        next_frame: number of the frame after the last durable result.
        pts_s: presentation time of the last durable result.
        loop_first: of a file: number of the first frame of the present round, as if all that was sampled in
            the round so far had been numbered.
        round: of a file: {"source", "fps", "start_s"}: what the round reads, without credentials, at what
            rate, and the presentation time it began at; None before the first result.
        results_at: Unix seconds of the last durable result.
        dropped: frames dropped so far, by reason.
        restarts: how often somebody else had to take the stream over.
        weights: of the model of the last durable result: "random" ones predict nothing that means anything.
        vocab_version: of the last durable result.
        tokens_full, tokens_kept: sums over all durable results of models with patches.
        warm_up_frames, warm_up_tokens: durable results that ran in full for lack of words, and their tokens.
        decisions: durable results by how a tokenizer that recalls decided.
        recall_bytes: what the stream keeps of earlier frames in the replica that predicted last.
        joules, above_idle_joules: sums over the durable results whose energy is known; None before the first.
        metered_frames: how many results `joules` is of.
        energy_method: how `joules` was found. Where it changes, the fields about joules begin anew: those of
            different methods are never added up.
        day: that `day_energy` is of, as `bill.day_of` has it; None before the first result with joules.
        day_energy: what the frames of that day took, see `bill.Figures`, by `energy_method`.
        fidelity: what audits found, see `pipeline.guard.stream_fidelity.StreamFidelity`; None before.
        guard: what the guard does, see `GuardStatus` there; None without one.
        sharing: what it gets where there is not enough for all, or of a budget, see `share.Share`; None where
            there is no need to share.
        saving: what audits prove of it, see `pipeline.stats.savings.Savings`; None before the first.
        full_joules: what the latest durable results cost in full of which that is known: what the others are
            measured against.
        full_of: model and input that those are of; with another they begin anew.
        saved_joules: what the metered results would have cost more in full, measured so; None where it is not
            known.
        fps, latency_ms: of late: results per second, and median of the total latency; None while it does not
            run.
        lost: share of the frames of late that were dropped because inference was slower than the source; None
            where they are too few to speak of.
    """

    state: State = "starting"
    reason: str | None = None
    since: float = 0.0
    retry_at: float | None = None
    revision: int = 0
    live: bool | None = None
    width: int | None = None
    height: int | None = None
    decoding: dict[str, Any] | None = None
    tokenizer: str | None = None
    idle_rules: list[str] = field(default_factory=list)
    ingest: dict[str, Any] | None = None
    inference: dict[str, Any] | None = None
    next_frame: int = 0
    pts_s: float | None = None
    loop_first: int = 0
    round: dict[str, Any] | None = None
    results_at: float | None = None
    dropped: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    weights: str | None = None
    vocab_version: int | None = None
    tokens_full: int = 0
    tokens_kept: int = 0
    warm_up_frames: int = 0
    warm_up_tokens: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    recall_bytes: int = 0
    joules: float | None = None
    above_idle_joules: float | None = None
    metered_frames: int = 0
    energy_method: str | None = None
    day: str | None = None
    day_energy: dict[str, dict[str, Any]] = field(default_factory=dict)
    fidelity: dict[str, Any] | None = None
    guard: dict[str, Any] | None = None
    sharing: dict[str, Any] | None = None
    saving: dict[str, Any] | None = None
    full_joules: list[float] = field(default_factory=list)
    full_of: str | None = None
    saved_joules: float | None = None
    fps: float | None = None
    latency_ms: float | None = None
    lost: float | None = None

    @classmethod
    def from_hash(cls, values: Mapping[bytes, bytes]) -> StreamStatus:
        """Reads what Redis holds; a field that is missing or damaged gets its default."""
        known = {item.name for item in fields(cls)}
        found: dict[str, Any] = {}
        for key, value in values.items():
            name = key.decode(errors="replace")
            if name in known:
                try:
                    found[name] = json.loads(value)
                except ValueError:
                    continue
        if found.get("state") not in STATES:
            found.pop("state", None)
        if found.get("state") != "running":
            # Of late there is nothing: what stands there is of before.
            found |= {"fps": None, "latency_ms": None}
        return cls(**found)

    @property
    def shown(self) -> tuple[str, str | None]:
        """The state as people are told it, and why; a stream that runs, but loses frames, is degraded."""
        if self.state == "running" and self.lost is not None:
            return "degraded", degraded(self.lost)
        return self.state, self.reason

    def to_dict(self) -> dict[str, Any]:
        """All fields, for the API."""
        return asdict(self)


def degraded(lost: float) -> str:
    """Why a stream is degraded, and what helps."""
    return (
        f"{lost:.0%} of its frames come too late for inference and are dropped; a lower fps, a tokenizer "
        "that saves more, fewer streams or more replicas help"
    )


def to_fields(values: Mapping[str, Any]) -> dict[str, str]:
    """Fields of `StreamStatus` as the hash holds them."""
    return {key: json.dumps(value, separators=(",", ":")) for key, value in values.items()}
