"""Sends a stream's batches to Inference, a few at a time, until their results are durable."""

from __future__ import annotations

import threading
import time
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from ray.exceptions import RayTaskError

from pipeline.errors import ModelError, ServiceError, UsageError, VwtError
from pipeline.redact import redact
from pipeline.sources.backoff import Backoff
from vocab.errors import StoreUnavailable
from workers.contract.fenced import FencedError
from workers.contract.messages import BatchDone, FrameBatch
from workers.contract.result_log import OutOfOrderError, ResultLog

if TYPE_CHECKING:
    from workers.telemetry.tracing import MessageTrace

# How often who waits looks up to see whether to stop.
LOOK_UP_S = 0.25
# An answer that takes longer is given up; what it stood for is sent again.
_ANSWER_S = 60.0
# Without any result for so long, though Redis answers, the stream fails (and is tried again later).
_GIVE_UP_S = 60.0
_LONGEST_REASON = 300


class Stopped(Exception):  # noqa: N818 - an order, not a mistake
    """The stream is to be left at once."""


class RewindError(VwtError):
    """Durable results end before the frames at hand: the stream has to be read again from there."""


class Answer(Protocol):
    """What a call of a Serve handle gives."""

    def result(self, *, timeout_s: float | None = None) -> Any:
        """The value; TimeoutError when there is none yet."""


@dataclass(slots=True)
class _Sent:
    batch: FrameBatch
    answer: Answer
    trace: MessageTrace | None
    replica: str | None = None
    at: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> int:
        return self.batch.first + len(self.batch.facts)

    def result(self) -> BatchDone:
        """The answer; TimeoutError when there is none yet."""
        try:
            done: BatchDone = self.answer.result(timeout_s=LOOK_UP_S)
        except CancelledError:
            # No Exception, so that it would end the stream's thread.
            raise ServiceError("the replica that had the frames stopped") from None
        return done

    def done(self) -> None:
        if self.trace is not None:
            self.trace.done()


class Sender:
    """Keeps at most `in_flight` batches of one stream under way; for one thread.

    A batch is kept until its results are durable. After any failure it waits for the others under way, asks
    what is durable and sends the rest again: at least once, in order, and the log keeps each result once.
    Every method may send again, and raises

    - Stopped: the stream is to be left.
    - FencedError: somebody else runs the stream.
    - RewindError: the log has lost results that were durable.
    - VwtError: Inference cannot do what is asked, or has given no result for a minute.

    Args:
        infer: gives a batch to Inference.
        log: of the stream.
        in_flight: most batches under way.
        stopped: set when the stream is to be left.
        renewed: waits for a newer fence than the one given, which was refused; None when there is none.
        answered: told how long a batch took until its results were durable.
        replica: of Inference that has the stream now; what another had is waited for before it gets a batch.

    Attributes:
        progressed: whether any result became durable.
        round_trip_s: of the last batch, until its results were durable; None before.
        interval_s, room: see `BatchDone`, of the last batch.
    """

    def __init__(
        self,
        infer: Callable[[FrameBatch], Answer],
        log: ResultLog,
        in_flight: int,
        stopped: threading.Event,
        renewed: Callable[[int], int | None],
        answered: Callable[[float], None] = lambda _: None,
        replica: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.progressed = False
        self.round_trip_s: float | None = None
        self.interval_s: float | None = None
        self.room = True
        self._infer = infer
        self._log = log
        self._in_flight = in_flight
        self._stopped = stopped
        self._renewed = renewed
        self._answered = answered
        self._replica = replica
        self._window: deque[_Sent] = deque()
        self._backoff = Backoff(initial_s=0.1, cap_s=5.0)
        self._failing_since: float | None = None

    @property
    def under_way(self) -> int:
        """Frames whose results are not known to be durable; from any thread."""
        sent = tuple(self._window)
        return sent[-1].end - sent[0].batch.first if sent else 0

    def send(self, batch: FrameBatch, trace: MessageTrace | None = None) -> None:
        """Sends a batch; waits for room first.

        Args:
            batch: not sent before.
            trace: of the batch, if it is traced.
        """
        if self._window and self._window[-1].batch.fence != batch.fence:
            # Those under the old fence may be refused.
            self.drain()
        if self._window and self._window[-1].replica != self._replica():
            # The replica that had the stream may take longer than the one that gets it now.
            self.drain()
        if not self.progressed:
            # Calls may overtake each other, and a log that is empty takes any frame for its first.
            self.drain()
        self.wait_room()
        self._window.append(self._sent(batch, trace))

    def leave(self) -> None:
        """Ends the traces of what is under way: nobody waits for it any more."""
        for sent in self._window:
            if sent.trace is not None:
                sent.trace.left()

    def wait_room(self) -> None:
        """Waits until a batch may be sent."""
        self._settle(self._in_flight - 1)

    def drain(self) -> None:
        """Waits until all that was sent is durable."""
        self._settle(0)

    def _settle(self, most: int) -> None:
        while len(self._window) > most:
            self._check_stopped()
            head = self._window[0]
            try:
                done = head.result()
            except Exception as error:
                if not pending(error):
                    self._recover(_cause(error))
                elif time.monotonic() - head.at > _ANSWER_S:
                    self._recover(ServiceError(f"no answer within {_ANSWER_S:.0f} s"))
                continue
            self._window.popleft().done()
            self.round_trip_s = time.monotonic() - head.at
            self.interval_s, self.room = done.interval_s, done.room
            self._answered(self.round_trip_s)
            self._advanced()

    def _recover(self, error: BaseException) -> None:
        """Sends again what is not durable, when the time has come."""
        self._wait_answers()
        if isinstance(error, FencedError):
            self._renew(error)
        elif isinstance(error, (UsageError, ModelError)):
            raise error
        elif not isinstance(error, (StoreUnavailable, OutOfOrderError)):
            self._count_failure(error)
        self._wait(self._backoff.next_s())
        durable = self._next_frame()
        while self._window and self._window[0].end <= durable:
            self._window.popleft().done()
            self._advanced()
        # With no result at all Redis has lost its data, and the numbers go on from here.
        if self._window and 0 < durable < self._window[0].batch.first:
            raise RewindError(f"results from frame {durable} on were lost")
        for sent in self._window:
            if sent.trace is not None:
                sent.trace.again(one_line(error))
        self._resend(alone=not durable)

    def _resend(self, alone: bool) -> None:
        """Sends the window again; with `alone` the others only once the first is durable, see `send`."""
        before = list(self._window)
        self._window = deque(self._sent(sent.batch, sent.trace) for sent in before[:1])
        failure = self._wait_answers() if alone else None
        for sent in before[1:]:
            refused = None if failure is None else _Sent(sent.batch, _Refused(failure), sent.trace)
            self._window.append(refused or self._sent(sent.batch, sent.trace))

    def _wait_answers(self) -> Exception | None:
        """Waits until nothing is under way any more, whatever became of it; returns the last failure."""
        deadline, failure = time.monotonic() + _ANSWER_S, None
        for sent in self._window:
            while True:
                try:
                    sent.result()
                except Exception as error:
                    self._check_stopped()
                    if pending(error) and time.monotonic() < deadline:
                        continue
                    failure = error
                break
        return failure

    def _renew(self, error: FencedError) -> None:
        fence = self._renewed(self._window[0].batch.fence)
        self._check_stopped()
        if fence is None:
            raise error
        for sent in self._window:
            sent.batch = replace(sent.batch, fence=fence)

    def _count_failure(self, error: BaseException) -> None:
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if now - self._failing_since > _GIVE_UP_S:
            raise ServiceError(
                f"Inference has given no result for {_GIVE_UP_S:.0f} s: {one_line(error)}; see its log"
            ) from error

    def _next_frame(self) -> int:
        while True:
            try:
                return self._log.next_frame()
            except StoreUnavailable:
                self._wait(self._backoff.next_s())

    def _advanced(self) -> None:
        self.progressed = True
        self._failing_since = None
        self._backoff.reset()

    def _sent(self, batch: FrameBatch, trace: MessageTrace | None) -> _Sent:
        replica = self._replica()
        try:
            return _Sent(batch, self._infer(batch), trace, replica)
        except Exception as error:
            return _Sent(batch, _Refused(error), trace)

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise Stopped

    def _check_stopped(self) -> None:
        if self._stopped.is_set():
            raise Stopped


class _Refused:
    """The answer of a call that could not even be made."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, *, timeout_s: float | None = None) -> BatchDone:  # noqa: ARG002 - as `Answer` has it
        raise self._error


def one_line(error: BaseException) -> str:
    """What went wrong, without a traceback and without credentials."""
    text = " ".join(str(_cause(error)).split()) or type(error).__name__
    return redact(text)[:_LONGEST_REASON]


def _cause(error: BaseException) -> BaseException:
    """The error itself, not what Ray makes of it on its way."""
    return error.cause if isinstance(error, RayTaskError) and error.cause is not None else error


def pending(error: Exception) -> bool:
    """Whether there is no answer yet; a TimeoutError may as well be the answer."""
    return isinstance(error, TimeoutError) and not isinstance(error, RayTaskError)
