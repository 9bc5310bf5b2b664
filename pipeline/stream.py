"""What a stream remembers between its batches, and how outputs become results."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipeline.engine import BatchOutput, PendingBatch
from pipeline.frame import Frame
from pipeline.results import Energy, FrameResult
from pipeline.tokenizers import InterTokenizer, Tokenizer
from pipeline.warmup import WordLearner


class StreamState:
    """All that a stream remembers: its numbering, its tokenizer, and the words it is learning.

    It can be dropped at any time; a new one numbers from 0 and learns again.

    Args:
        name: the stream's id in results.
        tokenizer: what plans its frames; with a learner, until the words are learned.
        learner: learns the words for `inter`; None where nothing is to be learned.
        threshold: of the `inter` tokenizer that the learned words go to.
    """

    def __init__(
        self,
        name: str,
        tokenizer: Tokenizer,
        learner: WordLearner | None = None,
        threshold: float = 0.1,
    ) -> None:
        self.name = name
        self.next_frame = 0
        self._tokenizer = tokenizer
        self._learner = learner
        self._threshold = threshold
        self._asked_for = tokenizer.name if learner is None else InterTokenizer.name

    @property
    def learning(self) -> bool:
        """Whether frames run in full because words are still being learned."""
        return self._learner is not None

    def batch_limit(self, batch: int) -> int:
        """At most how many frames to take next, so that warm-up ends at the same frame for any batch size."""
        missing = 0 if self._learner is None else self._learner.missing
        return min(batch, missing) if missing else batch

    def tokenizer_for(self, frames: Sequence[Frame]) -> Tokenizer:
        """The tokenizer for the next batch; changes over to learned words between batches."""
        if self._learner is not None:
            vocabulary = self._learner.vocabulary()
            if vocabulary is None:
                self._learner.observe([frame.image for frame in frames])
            else:
                self._tokenizer = InterTokenizer(vocabulary, self._threshold)
                self._learner = None
        return self._tokenizer

    @property
    def words(self) -> int | None:
        """How many words the tokenizer knows; None where it uses none."""
        return len(self._tokenizer.vocabulary) if isinstance(self._tokenizer, InterTokenizer) else None

    def results(
        self, pending: PendingBatch, batch: BatchOutput, taken_at: float, energies: Sequence[Energy]
    ) -> list[FrameResult]:
        """Numbers the frames of a batch and makes their results.

        Args:
            pending, batch: the batch and what came of it.
            taken_at: `time.monotonic()` when inference took the frames from the queue.
            energies: one per frame.
        """
        infer_ms = (batch.end_s - batch.start_s) * 1000
        done = time.monotonic()
        first = self.next_frame
        self.next_frame += len(pending.frames)
        return [
            FrameResult(
                stream=self.name,
                frame=first + offset,
                pts_s=frame.pts_s,
                captured_at=frame.captured_at,
                model=pending.model.name,
                tokenizer=self._asked_for,
                vocab_version=pending.tokenizer.vocab_version,
                tokens_full=output.tokens_full,
                tokens_kept=output.tokens_kept,
                prediction=output.prediction,
                decode_ms=frame.decode_ms,
                queue_ms=(taken_at - frame.ready_at) * 1000,
                infer_ms=infer_ms,
                total_ms=frame.decode_ms + (done - frame.ready_at) * 1000,
                energy=energy,
                dropped=frame.dropped,
            )
            for offset, (frame, output, energy) in enumerate(
                zip(pending.frames, batch.frames, energies, strict=True)
            )
        ]
