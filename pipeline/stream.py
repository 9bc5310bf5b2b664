"""What a stream remembers between its batches, and how outputs become results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.energy import Ledger
from pipeline.engine import BatchOutput, PendingBatch
from pipeline.frame import Frame
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.models import Model
from pipeline.reading import FrameOutput
from pipeline.results import Energy, FrameResult
from pipeline.scene.scene import NOTHING_SEEN, Scene
from pipeline.stacking import Part
from pipeline.tokenizers.registry import Kind
from pipeline.tokenizers.stream import NO_OPTIONS, StreamTokenizer
from vocab.words import Vocabulary


class StreamState:
    """All that a stream remembers: its numbering, and its tokenizer with what that keeps.

    It can be dropped at any time; a new one numbers from 0 and learns again.

    Args:
        name: the stream's id in results.
        kind: the tokenizer that was asked for.
        tokenizer: the same, opened for this stream.
        options: of the tokenizer, checked.
        watch: how its answers are watched.
        scene: what looks at the patches of its answers; None for nothing.

    Raises:
        UsageError: a promise is asked for that the tokenizer cannot be held to.

    Attributes:
        guarded: the tokenizer under watch.
    """

    def __init__(
        self,
        name: str,
        kind: Kind,
        tokenizer: StreamTokenizer,
        options: Mapping[str, Any] = NO_OPTIONS,
        watch: Watch = Watch(),  # noqa: B008
        scene: Scene | None = None,
    ) -> None:
        self.name = name
        self.next_frame = 0
        self._kind = kind
        self._tokenizer = tokenizer
        self.guarded = Guarded(kind, options, tokenizer, watch, scene)

    @property
    def learning(self) -> bool:
        """Whether frames run in full because there are no words yet."""
        return self._tokenizer.learning

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words in use; None where there are none."""
        return self._tokenizer.vocabulary

    def batch_limit(self, batch: int) -> int:
        """At most how many frames to take next, so that warm-up ends at the same frame for any batch size."""
        return min(batch, self._tokenizer.missing or batch)

    def part(self, frames: Sequence[Frame]) -> Part:
        """The next frames with what plans them; see `Guarded.part`."""
        return self.guarded.part(frames)

    def take_in(
        self, pending: PendingBatch, taken_at: float, ledger: Ledger
    ) -> tuple[list[FrameResult], BatchOutput]:
        """Waits for a batch, all of this stream, and makes its results, with energy as far as it is known.

        Args:
            pending: the batch.
            taken_at: `time.monotonic()` when inference took the frames from the queue.
            ledger: shares energy out; it knows frames by their numbers.
        """
        batch = pending.result()
        (part,) = pending.parts
        batch = replace(batch, frames=self.guarded.hear(part, batch.frames))
        numbers = range(self.next_frame, self.next_frame + len(batch.frames))
        costs = [output.spent for output in batch.frames]
        energies = ledger.record(batch.start_s, batch.end_s, costs, numbers)
        return self.results(pending, batch, taken_at, energies), batch

    def results(
        self, pending: PendingBatch, batch: BatchOutput, taken_at: float, energies: Sequence[Energy]
    ) -> list[FrameResult]:
        """Numbers the frames of a batch and makes their results.

        Args:
            pending, batch: the batch, all of this stream, and what came of it.
            taken_at: `time.monotonic()` when inference took the frames from the queue.
            energies: one per frame.
        """
        first = self.next_frame
        self.next_frame += len(pending.frames)
        timing = Timing(
            taken_at=taken_at,
            infer_ms=(batch.end_s - batch.start_s) * 1000,
            done_at=time.monotonic(),
            flops=sum(output.spent for output in batch.frames),
        )
        scene = self.guarded.scene
        return [
            frame_result(self.name, first + offset, pending.model, self._kind.name, timing, *facts, scene)
            for offset, facts in enumerate(zip(pending.frames, batch.frames, energies, strict=True))
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a batch ran.

    Attributes:
        taken_at: `time.monotonic()` when inference took its frames from the queue.
        infer_ms: how long the device worked on it.
        done_at: `time.monotonic()` when its outputs were there.
        flops: operations of all its frames, checks included.
    """

    taken_at: float
    infer_ms: float
    done_at: float
    flops: int = 0


def frame_result(
    stream: str,
    number: int,
    model: Model,
    tokenizer: str,
    timing: Timing,
    frame: Frame,
    output: FrameOutput,
    energy: Energy,
    scene: Scene | None = None,
) -> FrameResult:
    """The result of one frame.

    Args:
        stream: the id it has in results.
        number: of the frame in its stream.
        model: what predicted.
        tokenizer: name of what was asked for, also while frames run in full.
        timing: of the frame's batch.
        frame, output: what went in and what came out.
        energy: what it cost.
        scene: of its stream, which looks at the frame; None for none.
    """
    seen = NOTHING_SEEN if scene is None else scene.look(frame, output.patches, output.values)
    return FrameResult(
        stream=stream,
        frame=number,
        times=frame.times,
        model=model.name,
        weights=model.weights,
        tokenizer=tokenizer,
        computed=output.computed,
        vocab_version=output.vocab_version,
        decision=output.decision,
        held_ms=output.held_ms,
        fidelity=output.audit,
        probed=output.probed,
        tokens_full=output.tokens_full,
        tokens_kept=output.tokens_kept,
        share=output.share,
        prediction=output.prediction,
        queue_ms=(timing.taken_at - frame.ready_at) * 1000,
        infer_ms=timing.infer_ms,
        total_ms=frame.times.decode_ms + (timing.done_at - frame.ready_at) * 1000,
        energy=energy,
        dropped=frame.dropped,
        device_ms=timing.infer_ms * output.spent / timing.flops if timing.flops else None,
        changed=seen.changed,
        zones=seen.zones,
    )
