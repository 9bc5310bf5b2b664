"""Stands in for the deployment `Inference`, at the edge: no model, but real results in a real log."""

from __future__ import annotations

import json
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from pipeline.fit import FITS, Inputs
from pipeline.input_spec import InputSpec
from vocab.connection import RedisClient
from workers.contract.messages import BatchDone, FrameBatch, ModelFacts
from workers.contract.result_log import ResultLog
from workers.ingest.replica_context import ReplicaContext
from workers.settings.schema import ServiceSettings


class Answer:
    """A call under way, as a handle of Serve gives it."""

    def __init__(self, future: Future[Any]) -> None:
        self._future = future

    def result(self, *, timeout_s: float | None = None) -> Any:
        return self._future.result(timeout_s)


class Inference:
    """Appends a result per frame; can fail on purpose and be held up.

    Attributes:
        calls: batches in the order they came.
        failures: what the next calls end with, instead of results; None for results.
        most: batches that were under way at once.
        called: released with every call.
        interval_s: of the answers.
    """

    def __init__(self, client: RedisClient) -> None:
        self.calls: list[FrameBatch] = []
        self.failures: deque[BaseException | None] = deque()
        self.most = 0
        self.interval_s: float | None = None
        self.called = threading.Semaphore(0)
        self._client = client
        self._under_way = 0
        self._held_from: int | None = None
        self._lock = threading.Lock()
        self._released = threading.Condition()
        self._pool = ThreadPoolExecutor(1)

    def infer(self, stream: str, batch: FrameBatch) -> Answer:
        assert stream == batch.stream
        with self._lock:
            self.calls.append(batch)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            failure = self.failures.popleft() if self.failures else None
        future = self._pool.submit(self._append, batch, failure)
        self.called.release()
        return Answer(future)

    def describe(self, model: str) -> Answer:
        del model
        return Answer(self._pool.submit(lambda: ModelFacts(Inputs(InputSpec(32, 32), 16, FITS), ("full",))))

    def hold(self, frame: int = 0) -> None:
        """Makes batches from that frame on wait, and all after them."""
        self._held_from = frame

    def release(self) -> None:
        """Lets all go on."""
        with self._released:
            self._held_from = None
            self._released.notify_all()

    def context(self, replica: str, **ingest: Any) -> ReplicaContext:
        """The context of a replica that asks this one; its files lie anywhere."""
        # The process of the tests does more than to read streams.
        ingest = {"lease_s": 1.0, "poll_s": 0.05, "micro_batch": 8, "cores_per_replica": 1000.0, **ingest}
        settings = ServiceSettings(
            ingest=ingest, access={"allow_folders": ["/"], "allow_hosts": ["*"]}, model="any"
        )
        where = {"replica": replica, "node": "here", "pid": 1}
        return ReplicaContext(settings, self._client, self._client, self.infer, self.describe, where)

    def close(self) -> None:
        self.release()
        self._pool.shutdown()

    def _append(self, batch: FrameBatch, failure: Exception | None) -> BatchDone:
        try:
            with self._released:
                self._released.wait_for(lambda: self._held_from is None or batch.first < self._held_from)
            if failure is not None:
                raise failure
            results = [
                json.dumps(
                    {
                        "frame": batch.first + n,
                        "pts_s": facts.times.pts_s,
                        "captured_at": facts.times.captured_at,
                        "pixels": int(image.astype(int).sum()),
                        "dropped": dict(facts.dropped),
                        "prediction": {"kind": "labels", "labels": [{"label": "picture", "score": 0.9}]},
                    }
                )
                for n, (facts, image) in enumerate(zip(batch.facts, batch.images, strict=True))
            ]
            status = {**batch.position, "pts_s": batch.facts[-1].times.pts_s, "results_at": 1.0}
            log = ResultLog(self._client, batch.stream, 10_000)
            return BatchDone(
                next_frame=log.append(batch.fence, batch.first, results, status),
                infer_ms=1.0,
                latency_ms=1.0,
                interval_s=self.interval_s,
            )
        finally:
            with self._lock:
                self._under_way -= 1
