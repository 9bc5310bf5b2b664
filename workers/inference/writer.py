"""Takes results from the device thread to Redis, each stream's in order, and tells who waits for them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from pipeline.results import Energy, FrameResult
from pipeline.stream import frame_result
from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from workers.contract.fenced import FencedError
from workers.contract.messages import BatchDone, FrameBatch
from workers.contract.share import Share
from workers.inference.failures import plain_error
from workers.inference.keyed_executor import KeyedExecutor
from workers.inference.metering import Figures
from workers.inference.metrics import WriteMetrics
from workers.inference.preview import Preview
from workers.inference.queue import Request
from workers.inference.record import StreamRecord
from workers.inference.remembering import Remembering, Seen
from workers.inference.sharing import Done, Sharing
from workers.telemetry.logs import log_context, trace_id

if TYPE_CHECKING:
    from workers.telemetry.tracing import Tracing

_LOG = logging.getLogger("vwt.inference")
_THREADS = 4
# Seconds without a result after which what is remembered of a stream goes.
_UNUSED_S = 60.0


class ResultWriter:
    """Appends results and late energies to Redis, and draws previews.

    Args:
        connect: gives the client of Redis; may raise StoreUnavailable.
        kept: how many results of a stream Redis keeps.
        where: who writes, for the streams' status.
        later: whether energies come after their results.
        tracing: traces messages; None for no traces.
        sharing: who gets what; None to let every stream have what it wants.
        embedding: whether results have the pooled features beside other predictions.
        painted: told of messages whose last frame somebody who watches gets to see.
    """

    def __init__(
        self,
        connect: Callable[[], RedisClient],
        kept: int,
        where: Mapping[str, Any],
        later: bool,
        tracing: Tracing | None = None,
        sharing: Sharing | None = None,
        embedding: bool = False,
        painted: Callable[[Request], None] = lambda _: None,
    ) -> None:
        self._sharing = Sharing(None) if sharing is None else sharing
        self._connect = connect
        self._kept = kept
        self._where = where
        self._later = later
        self._tracing = tracing
        self._metrics = WriteMetrics()
        self._executor = KeyedExecutor(_THREADS, "vwt-results")
        self._records: dict[str, StreamRecord] = {}
        self._previews: dict[str, Preview] = {}
        self._remembering: dict[str, Remembering] = {}
        self._embedding = embedding
        self._painted = painted
        self._swept_at = time.monotonic()

    def write(self, request: Request) -> None:
        """Queues the results of a message that ran; its future gets `BatchDone` once they are durable."""
        batch = request.batch
        assert batch is not None, "a single image has no stream to be written to"
        self._executor.submit(batch.stream, partial(self._write, batch, request))

    def settle(self, figures: Figures) -> None:
        """Queues energies that became known later; keys are (stream, frame)."""
        streams: dict[str, list[tuple[int, Energy]]] = {}
        for key, energy in figures:
            assert isinstance(key, tuple)
            streams.setdefault(key[0], []).append((key[1], energy))
        for stream, settled in streams.items():
            self._executor.submit(stream, partial(self._settle, stream, settled))

    def close(self) -> None:
        """Waits until everything is written."""
        self._executor.close()

    def _write(self, batch: FrameBatch, request: Request) -> None:
        with log_context(batch.stream, trace_id(batch.trace)):
            self._append(batch, request)

    def _append(self, batch: FrameBatch, request: Request) -> None:
        results: list[FrameResult] = []
        try:
            results = results_of(request, batch.stream, batch.first, self._embedding)
            self._share(batch, request)
            watched = _watched(request, self._sharing.share(batch.stream))
            next_frame = self._record(batch).append(batch, results, watched)
        except Exception as error:
            # What is remembered may no longer be what Redis holds: read it anew.
            self._records.pop(batch.stream, None)
            self._previews.pop(batch.stream, None)
            self._trace(batch, request, results, error)
            request.fail(plain_error(error, batch.stream, batch.settings.model))
            return
        self._trace(batch, request, results)
        infer_ms = sum(ran.timing.infer_ms for ran in request.ran)
        done = BatchDone(
            next_frame=next_frame,
            infer_ms=infer_ms,
            latency_ms=results[-1].total_ms,
            interval_s=self._sharing.interval_s(batch.stream),
            room=self._sharing.room,
        )
        request.future.set_result(done)
        self._metrics.wrote(batch.stream, results[-1].frame, request.ran[-1].timing.done_at, self._later)
        self._show(batch, request, results[-1])
        if batch.settings.history is not None:
            self._remember(batch, request, results, batch.settings.history)
        self._sweep()

    def _share(self, batch: FrameBatch, request: Request) -> None:
        outputs = [output for ran in request.ran for output in ran.outputs]
        done = Done(
            frames=len(outputs),
            late=sum(facts.dropped.get("late", 0) for facts in batch.facts),
            flops=sum(output.spent for output in outputs),
            saved=sum(output.flops / output.share - output.flops for output in outputs if output.share),
            passes=[(ran.timing.taken_at, ran.timing.infer_ms / 1000) for ran in request.ran],
        )
        self._sharing.ran(batch.stream, request.guarded, batch.settings.priority, batch.live, done)

    def _trace(
        self,
        batch: FrameBatch,
        request: Request,
        results: Sequence[FrameResult],
        failure: Exception | None = None,
    ) -> None:
        if self._tracing is not None:
            left = iter(results)
            passes = [(ran.timing, list(islice(left, len(ran.frames)))) for ran in request.ran]
            self._tracing.inferred(batch.trace, request.arrived_at, passes, failure)

    def _settle(self, stream: str, figures: Sequence[tuple[int, Energy]]) -> None:
        record = self._records.get(stream)
        if record is None:
            return
        self._metrics.settled(stream, (frame for frame, _ in figures))
        try:
            record.settle(figures)
        except FencedError:
            self._records.pop(stream, None)
        except StoreUnavailable as error:
            _LOG.warning("%s; energies wait for the next ones", error, extra={"stream": stream})

    def _record(self, batch: FrameBatch) -> StreamRecord:
        record = self._records.get(batch.stream)
        if record is None or record.fence != batch.fence:
            record = StreamRecord(
                self._connect(), batch.stream, batch.fence, self._kept, self._where, self._later
            )
            self._records[batch.stream] = record
        return record

    def _show(self, batch: FrameBatch, request: Request, result: FrameResult) -> None:
        try:
            preview = self._previews.get(batch.stream)
            if preview is None:
                preview = self._previews[batch.stream] = Preview(self._connect(), batch.stream)
            ran = request.ran[-1]
            if preview.show(ran.frames[-1], ran.outputs[-1].states, result):
                self._painted(request)
        except StoreUnavailable as error:
            _LOG.warning("no preview of %s: %s", batch.stream, error)
        except Exception:
            _LOG.exception("no preview of %s", batch.stream)

    def _remember(
        self, batch: FrameBatch, request: Request, results: Sequence[FrameResult], most_bytes: int
    ) -> None:
        try:
            remembering = self._remembering.get(batch.stream)
            if remembering is None or remembering.fence != batch.fence:
                remembering = Remembering(self._connect(), batch.stream, batch.fence)
                self._remembering[batch.stream] = remembering
            frames = [frame for ran in request.ran for frame in ran.frames]
            outputs = [output for ran in request.ran for output in ran.outputs]
            seen = [Seen(*facts) for facts in zip(frames, outputs, results, strict=True)]
            patch_size = request.engine.model.patch_size
            remembering.take(seen, batch.settings.model, patch_size, most_bytes)
        except FencedError:
            self._remembering.pop(batch.stream, None)
        except StoreUnavailable as error:
            _LOG.warning("no history of %s: %s", batch.stream, error)
        except Exception:
            _LOG.exception("no history of %s", batch.stream)

    def _sweep(self) -> None:
        now = time.monotonic()
        if now - self._swept_at < _UNUSED_S:
            return
        self._swept_at = now
        for stream, record in list(self._records.items()):
            if record.used_at < now - _UNUSED_S:
                self._executor.submit(stream, partial(self._drop, stream, record))

    def _drop(self, stream: str, record: StreamRecord) -> None:
        if self._records.get(stream) is record and record.used_at < time.monotonic() - _UNUSED_S:
            del self._records[stream]
            self._previews.pop(stream, None)
            self._remembering.pop(stream, None)


def _watched(request: Request, share: Share | None) -> dict[str, Any]:
    fidelity, guard = request.guarded.fidelity, request.guarded.guard
    return {
        "fidelity": fidelity.to_dict() if fidelity.audits else None,
        "guard": None if guard is None else guard.to_dict(),
        "sharing": None if share is None else share.to_dict(),
        "recall_bytes": request.guarded.bytes,
    }


def results_of(request: Request, stream: str, first: int, embedding: bool) -> list[FrameResult]:
    """The results of a request that ran.

    Args:
        request: complete.
        stream: the id it has in results.
        first: number of its first frame.
        embedding: whether they have the pooled features beside other predictions.
    """
    numbers = count(first)
    results = [
        frame_result(
            stream,
            next(numbers),
            request.engine.model,
            request.settings.tokenizer,
            ran.timing,
            *facts,
            request.guarded.scene,
        )
        for ran in request.ran
        for facts in zip(ran.frames, ran.outputs, ran.energies, strict=True)
    ]
    return [result.trimmed(embedding) for result in results]
