"""The device thread: one for all streams and models of a replica, so that passes never compete."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import torch

from pipeline.engine import BatchOutput, PendingBatch
from pipeline.errors import ServiceError
from pipeline.in_flight import InFlight
from pipeline.results import Energy
from pipeline.stream import Timing
from workers.inference.failures import first_line, plain_error
from workers.inference.load import Load, LoadMeter
from workers.inference.metrics import PassMetrics
from workers.inference.queue import FairQueue, Ran, Request, Slice

# Says what a batch cost: start, end (`time.monotonic()` seconds), FLOPs and key of each frame.
Record = Callable[[float, float, Sequence[float], Sequence[Hashable]], Sequence[Energy]]

# No pass takes this long, so a device that does is not coming back.
_STUCK_S = 300.0


@dataclass(frozen=True, slots=True, eq=False)
class _Pass:
    slices: Sequence[Slice]
    pending: PendingBatch
    taken_at: float


class Batcher:
    """Gathers frames of all streams into passes and runs them in a thread of its own.

    Args:
        batch: most frames in a pass.
        wait_s: how long a pass may wait for more frames once there is one.
        record: of the energy ledger; called in the device thread, so it must not wait.
    """

    def __init__(self, batch: int, wait_s: float, record: Record) -> None:
        self._batch = batch
        self._wait_s = wait_s
        self._record = record
        self._queue = FairQueue()
        self._changed = threading.Condition()
        self._errands: deque[tuple[Callable[[], None], Future[None]]] = deque()
        self._closing = False
        self._load = LoadMeter()
        self._metrics = PassMetrics()
        self._broken: str | None = None
        self._thread = threading.Thread(target=self._work, name="vwt-device", daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> None:
        """Queues frames; those of one stream run in the order submitted.

        Raises:
            ServiceError: the batcher was closed.
        """
        with self._changed:
            if self._closing:
                raise _stopping()
            self._queue.add(request)
            self._load.arrived(request.stream)
            self._changed.notify()

    def between(self, work: Callable[[], None]) -> Future[None]:
        """Has something else done in the device thread, while no pass is under way; passes wait for it.

        Raises:
            ServiceError: the batcher was closed.
        """
        done: Future[None] = Future()
        with self._changed:
            if self._closing:
                raise _stopping()
            self._errands.append((work, done))
            self._changed.notify()
        return done

    def load(self) -> Load:
        """How much there was to do since the last call."""
        with self._changed:
            return self._load.take(self._queue.oldest_at())

    def check(self) -> None:
        """Raises ServiceError when the device thread cannot go on."""
        if self._broken is not None:
            raise ServiceError(self._broken)
        if not self._thread.is_alive():
            raise ServiceError("the device thread has ended; this replica has to be started again")
        if self._load.busy_for_s() > _STUCK_S:
            raise ServiceError(f"the device has not finished a pass in {_STUCK_S:.0f} s")

    def close(self) -> None:
        """Ends the thread once the pass under way is done; what still waits fails."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        with InFlight(self._finish) as in_flight:
            while (slices := self._next(idle=not in_flight)) is not None:
                if slices:
                    self._start(slices, in_flight)
                else:
                    in_flight.drain()
                    self._run_errands()

    def _run_errands(self) -> None:
        while self._errands:
            work, done = self._errands.popleft()
            try:
                work()
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(None)

    def _next(self, idle: bool) -> list[Slice] | None:
        """The next pass; empty when passes under way, or errands, come first; None at the end."""
        with self._changed:
            if idle:
                self._load.idle()
                self._changed.wait_for(lambda: self._closing or self._errands or len(self._queue) > 0)
                self._load.busy()
            if self._closing:
                for request in self._queue.clear():
                    request.fail(_stopping())
                for _, done in self._errands:
                    done.set_exception(_stopping())
                return None
            if self._errands:
                return []
            if len(self._queue):
                self._changed.wait_for(
                    lambda: self._closing or self._queue.next_pass() >= self._batch, self._wait_s
                )
            slices = self._queue.take(self._batch)
            self._metrics.left(len(self._queue))
            return slices

    def _start(self, slices: Sequence[Slice], in_flight: InFlight[_Pass]) -> None:
        taken_at = time.monotonic()
        waited_s = taken_at - min(part.request.arrived_at for part in slices)
        self._load.waited(waited_s)
        self._metrics.began(sum(len(part.frames) for part in slices), waited_s)
        engine = slices[0].request.engine
        try:
            pending = engine.submit_parts([part.part() for part in slices])
        except Exception as error:
            # What was taken before comes first, or a stream's frames would change places.
            in_flight.drain()
            self._run_alone(slices, taken_at, error)
        else:
            in_flight.add(_Pass(slices, pending, taken_at), engine.depth)

    def _finish(self, passed: _Pass) -> None:
        try:
            self._take_in(passed.slices, passed.pending.result(), passed.taken_at)
        except Exception as error:
            self._run_alone(passed.slices, passed.taken_at, error)

    def _run_alone(self, slices: Sequence[Slice], taken_at: float, error: Exception) -> None:
        """Runs each slice of a pass that failed by itself: only the guilty one fails."""
        failed = 0
        for part in slices:
            try:
                if len(slices) == 1:
                    raise error
                pending = part.request.engine.submit_parts([part.part()])
                self._take_in([part], pending.result(), taken_at)
            except Exception as reason:
                failed += 1
                part.request.fail(_told(reason, part.request))
        if failed == len(slices):
            self._probe(slices[0].request.engine.model.device)

    def _take_in(self, slices: Sequence[Slice], batch: BatchOutput, taken_at: float) -> None:
        costs = [output.spent for output in batch.frames]
        timing = Timing(
            taken_at=taken_at,
            infer_ms=(batch.end_s - batch.start_s) * 1000,
            done_at=time.monotonic(),
            flops=sum(costs),
        )
        self._metrics.ended(batch.end_s - batch.start_s)
        keys = [key for part in slices for key in part.keys]
        energies = self._record(batch.start_s, batch.end_s, costs, keys)
        first = 0
        for part in slices:
            last = first + len(part.frames)
            outputs = part.hear(batch.frames[first:last])
            part.request.ran.append(Ran(part.frames, outputs, energies[first:last], timing))
            first = last
            if part.request.complete:
                self._deliver(part.request)

    def _deliver(self, request: Request) -> None:
        # Outside the reach of `_run_alone`: the others of the pass have their results already.
        try:
            request.deliver(request)
        except Exception as error:
            request.fail(_told(error, request))

    def _probe(self, device: torch.device) -> None:
        """An error on a GPU can leave all of it unusable to this process; then only a new one helps."""
        if device.type != "cuda":
            return
        try:
            torch.zeros(1, device=device).add_(1).item()
        except Exception as error:
            self._broken = f"the GPU cannot be used any more ({first_line(error)})"


def _told(error: Exception, request: Request) -> Exception:
    return plain_error(error, request.stream, request.engine.model.name)


def _stopping() -> ServiceError:
    return ServiceError("this replica stops; send the frames again, another one takes them")
