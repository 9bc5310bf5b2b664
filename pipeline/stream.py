"""What a stream remembers between its batches, and how outputs become results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.engine import BatchOutput, FrameOutput, PendingBatch
from pipeline.frame import Frame
from pipeline.results import Energy, FrameResult
from pipeline.tokenizers import InterTokenizer, Tokenizer
from vocab.words import Vocabulary


class WordSource(Protocol):
    """Where the words of `inter` come from while a stream runs."""

    @property
    def missing(self) -> int:
        """Frames it wants to see in full before it can give words."""
        ...

    def observe(self, frames: Sequence[Frame]) -> None:
        """Takes in frames that are about to run."""
        ...

    def vocabulary(self) -> Vocabulary | None:
        """The words to use from now on; None while there are none."""
        ...


class StreamState:
    """All that a stream remembers: its numbering, its tokenizer, and where its words come from.

    It can be dropped at any time; a new one numbers from 0 and learns again.

    Args:
        name: the stream's id in results.
        tokenizer: what plans its frames; with `words`, until there are any.
        words: gives the words of `inter`; None where nothing is to be learned.
        threshold: of the `inter` tokenizer that the words go to.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        words: WordSource | None = None,
        threshold: float = 0.1,
    ) -> None:
        self.name = name
        self.next_frame = 0
        self._tokenizer = tokenizer
        self._source = words
        self._threshold = threshold
        self._asked_for = tokenizer.name if words is None else InterTokenizer.name

    @property
    def learning(self) -> bool:
        """Whether frames run in full because there are no words yet."""
        return self._source is not None and self._tokenizer.name != InterTokenizer.name

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words in use; None where there are none."""
        return self._tokenizer.vocabulary if isinstance(self._tokenizer, InterTokenizer) else None

    def batch_limit(self, batch: int) -> int:
        """At most how many frames to take next, so that warm-up ends at the same frame for any batch size."""
        missing = self._source.missing if self._source is not None and self.learning else 0
        return min(batch, missing) if missing else batch

    def tokenizer_for(self, frames: Sequence[Frame]) -> Tokenizer:
        """The tokenizer for the next batch; changes over to new words between batches, never inside one."""
        if self._source is not None:
            vocabulary = self._source.vocabulary()
            if vocabulary is not None and vocabulary is not self.vocabulary:
                self._tokenizer = InterTokenizer(vocabulary, self._threshold)
            self._source.observe(frames)
        return self._tokenizer

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
        timing = Timing(taken_at, (batch.end_s - batch.start_s) * 1000, time.monotonic())
        return [
            frame_result(self.name, first + offset, pending.model.name, self._asked_for, timing, *facts)
            for offset, facts in enumerate(zip(pending.frames, batch.frames, energies, strict=True))
        ]


@dataclass(frozen=True, slots=True)
class Timing:
    """When a batch ran.

    Attributes:
        taken_at: `time.monotonic()` when inference took its frames from the queue.
        infer_ms: how long the device worked on it.
        done_at: `time.monotonic()` when its outputs were there.
    """

    taken_at: float
    infer_ms: float
    done_at: float


def frame_result(
    stream: str,
    number: int,
    model: str,
    tokenizer: str,
    timing: Timing,
    frame: Frame,
    output: FrameOutput,
    energy: Energy,
) -> FrameResult:
    """The result of one frame.

    Args:
        stream: the id it has in results.
        number: of the frame in its stream.
        model: name of what predicted.
        tokenizer: name of what was asked for, also while frames run in full.
        timing: of the frame's batch.
        frame, output: what went in and what came out.
        energy: what it cost.
    """
    return FrameResult(
        stream=stream,
        frame=number,
        pts_s=frame.pts_s,
        captured_at=frame.captured_at,
        model=model,
        tokenizer=tokenizer,
        vocab_version=output.vocab_version,
        tokens_full=output.tokens_full,
        tokens_kept=output.tokens_kept,
        prediction=output.prediction,
        decode_ms=frame.decode_ms,
        queue_ms=(timing.taken_at - frame.ready_at) * 1000,
        infer_ms=timing.infer_ms,
        total_ms=frame.decode_ms + (timing.done_at - frame.ready_at) * 1000,
        energy=energy,
        dropped=frame.dropped,
    )
