"""What Ingest and Inference say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.fit import Inputs
from pipeline.frame import FrameTimes, Geometry
from pipeline.guard.promise import By, Promise, Watch
from pipeline.results import Answers
from pipeline.tokenizers.registry import Value

if TYPE_CHECKING:
    from pipeline.models import Model
    from pipeline.scene.scene import Scene


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """How the frames of a batch are made and tokenized, and for which model.

    Attributes:
        model: its name.
        tokenizer: one of `pipeline.tokenizers.registry.TOKENIZERS`.
        options: of the tokenizer, checked (`Kind.check`).
        scope: whose words and window, where it wants words.
        fit, size: of the model's input, as `Inputs.spec` takes them.
        audit: share of the frames that are answered in full, too.
        guard, guard_by: the promise that is held, see `pipeline.guard.promise.Promise`; None for none.
        priority, min_target: what the stream gets where there is not enough for all, see `SharingFields`.
        changed, zones, classes: what of the scene is asked for, see `SceneFields`.
        history: bytes that its history may take; None to keep none.
    """

    model: str
    tokenizer: str
    options: Mapping[str, Value]
    scope: str
    fit: str | None = None
    size: str | None = None
    audit: float = 0.0
    guard: float | None = None
    guard_by: By = "cosine"
    priority: float = 1.0
    min_target: float | None = None
    changed: bool = False
    zones: Mapping[str, Any] | None = None
    classes: Mapping[str, Any] | None = None
    history: int | None = None

    def scene(self, model: Model) -> Scene | None:
        """What looks at the stream's patches; None for nothing.

        Raises:
            UsageError: the model has no patches, or zones or classes are for another model or
                input.
        """
        # Imports torch, which who sends frames does without.
        from pipeline.scene.classes import Classes
        from pipeline.scene.scene import Scene
        from pipeline.scene.zones import Zones

        spec = model.inputs.spec(model.name, self.fit, self.size)
        zones = None if self.zones is None else Zones.from_dict(self.zones)
        classes = None if self.classes is None else Classes.from_dict(self.classes)
        return Scene.of(model, self.changed, zones, classes, spec, remembered=self.history is not None)

    def watch(self, seed: int) -> Watch:
        """How the stream is watched."""
        promise = None if self.guard is None else Promise(self.guard, self.guard_by)
        return Watch(self.audit, promise, seed, self.min_target)


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What `pipeline.frame.Frame` says beside the pixels, with a clock that other machines share.

    Attributes:
        ready_at: Unix seconds when the frame was ready for inference.
    """

    times: FrameTimes
    geometry: Geometry
    ready_at: float
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __reduce__(self) -> tuple[Any, ...]:
        # As `FrameTimes` does it.
        return FrameFacts, (self.times, self.geometry, self.ready_at, self.dropped)


@dataclass(frozen=True, slots=True)
class FrameBatch:
    """Some frames of one stream, in order.

    Attributes:
        stream: its id.
        fence: fencing token of the lease under which they were read.
        first: number of the first frame.
        images: (B, H, W, 3) uint8 RGB, as the input that `settings` name makes them; all of one size.
        facts: one per frame.
        settings: how to run them.
        position: fields of `status.StreamStatus` that become durable together with the last result.
        live: whether frames come at their own pace, and those that are late are dropped.
        trace: context of the span that sends it, as W3C's headers have it; None when it is not traced.
    """

    stream: str
    fence: int
    first: int
    images: npt.NDArray[np.uint8]
    facts: Sequence[FrameFacts]
    settings: TokenSettings
    position: Mapping[str, Any] = field(default_factory=dict)
    live: bool = False
    trace: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """All results of a batch are durable.

    Attributes:
        next_frame: number after the last durable result of the stream.
        infer_ms: time on the device.
        latency_ms: total latency of the batch's last frame.
        interval_s: seconds from one frame of the stream to the next, at least; None where all may come.
        room: whether Inference may have time for more frames than it gets.
    """

    next_frame: int
    infer_ms: float
    latency_ms: float
    interval_s: float | None = None
    room: bool = True


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What others need to know of a model.

    Attributes:
        inputs: what its pictures may look like.
        tokenizers: names of those it takes.
        answers: what its predictions are of.
    """

    inputs: Inputs
    tokenizers: Sequence[str]
    answers: Answers = field(default_factory=Answers)


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """What a part of the picture looked like at a moment.

    Attributes:
        model: that saw it.
        seen_as: its input, see `pipeline.scene.scene.seen_as`.
        frame: its number in the stream.
        vector: (C,) float32: of a zone of unit length, of a box as `pipeline.scene.prototypes.look_inside`
            gives it.
    """

    model: str
    seen_as: str
    frame: int
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class BoxExample(Example):
    """What a drawn box looked like at a moment.

    Attributes:
        whole: (C,) float32: the mean of the frame's patches.
        jpeg: a small picture of it.
    """

    whole: npt.NDArray[np.float32]
    jpeg: bytes
