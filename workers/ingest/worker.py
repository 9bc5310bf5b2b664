"""Reads one stream under one lease and sends its frames to Inference, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.clips.packets import PacketRing
from pipeline.errors import SourceError, UsageError, VwtError
from pipeline.frame import Frame
from pipeline.redact import redact
from pipeline.results import Answers
from pipeline.sources import Notice
from pipeline.tokenizers.registry import kind_of, preferred
from vocab.errors import StoreUnavailable
from workers.contract.fenced import FencedError
from workers.contract.messages import FrameBatch, ModelFacts, TokenSettings
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import StreamStore
from workers.ingest.deliveries import StreamDeliveries
from workers.ingest.idle_rules import idle_rules
from workers.ingest.overload import Overload
from workers.ingest.pace import Pace
from workers.ingest.position import Position, resume
from workers.ingest.replica_context import ReplicaContext
from workers.ingest.sender import LOOK_UP_S, Answer, RewindError, Sender, Stopped, one_line, pending
from workers.ingest.status_reporter import StatusReporter
from workers.ingest.stream_source import StreamSource
from workers.settings.scene_fields import drawn_of
from workers.telemetry.logs import log_context

if TYPE_CHECKING:
    from workers.ingest.round import Round

_log = logging.getLogger(__name__)

# A model may have to be loaded first.
_DESCRIBE_S = 600.0
# What the rules of a stream need at its end, while Redis is there.
_RULES_S = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How reading came to its end.

    Attributes:
        kind: "ended"; "failed" for good; "retry": failed, but worth another try later; "again": to be read
            again at once; "lost": somebody else has the lease.
        progressed: whether any result became durable.
    """

    kind: Literal["ended", "failed", "retry", "again", "lost"]
    progressed: bool = False


class StreamWorker:
    """Runs one stream until it ends, fails, or is stopped; starts at once.

    Args:
        spec: of the stream.
        fence: fencing token of its lease.
        status: what is known of it, read after the lease was taken.
        context: what it needs.
        threads: of its decoder.

    Attributes:
        spec: as given, or as `retune` was.
        reporter: says what it is doing.
        outcome: how it ended; None while it runs and when it was stopped.
    """

    def __init__(
        self, spec: StreamSpec, fence: int, status: StreamStatus, context: ReplicaContext, threads: int = 1
    ) -> None:
        self.spec = spec
        self.outcome: Outcome | None = None
        self._context = context
        self._status = status
        self._log = ResultLog(context.client, spec.id, context.settings.kept_results)
        taken_over = status.ingest is not None and status.ingest != context.where
        self._restarts = status.restarts + taken_over
        facts = {"revision": spec.revision, "ingest": context.where, "restarts": self._restarts}
        self.reporter = StatusReporter(self._log, fence, facts)
        self._stopped = threading.Event()
        self._fence = fence
        self._renewal = threading.Condition()
        wants_clips = any(rule.clip is not None for rule in spec.rules)
        self._packets = PacketRing(context.settings.ingest.clip_buffer_bytes) if wants_clips else None
        self._source = StreamSource(
            spec.source, context.settings, threads, spec.fps, self._notice, context.gpu, self._packets
        )
        # How its frames are to run; known once the model is.
        self._settings: TokenSettings
        self._answers = Answers()
        # Dropped and told with no frame yet, by reason.
        self._missed: Counter[str] = Counter()
        self._pace, self._overload = Pace(), Overload()
        # What the source says of its own end.
        self._flaw: str | None = None
        self._deliveries = StreamDeliveries(
            context.settings, context.sinks_client, spec, lambda: self._fence, context.metrics, self._packets
        )
        self._sender = Sender(
            lambda batch: context.infer(spec.id, batch),
            self._log,
            context.settings.ingest.in_flight,
            self._stopped,
            self._renewed,
            self._answered,
            lambda: context.placement.of(spec.id),
        )
        self._thread = threading.Thread(target=self._run, name=f"vwt-stream-{spec.id}", daemon=True)
        self._thread.start()

    @property
    def fence(self) -> int:
        """The fence in use."""
        return self._fence

    @property
    def under_way(self) -> int:
        """Frames that were sent and have no durable result yet."""
        return self._sender.under_way

    def go_on(self, fence: int) -> None:
        """Uses a new fence of the same lease from now on."""
        self.reporter.renew(fence)
        with self._renewal:
            self._fence = fence
            self._renewal.notify_all()

    def stop(self) -> None:
        """Has the stream left at once; never waits. What it still had under way may yet become durable."""
        self._stopped.set()
        with self._renewal:
            self._renewal.notify_all()
        self._source.close()
        self._deliveries.stop(within_s=0)

    def retune(self, spec: StreamSpec) -> bool:
        """Goes on with other zones or names from the next frames on, and reads the source no other way.

        Returns:
            False where more than those was changed; nothing is done then.
        """
        alike = drawn_of(spec) | {"revision": spec.revision}
        if self.outcome is not None or self.spec.model_copy(update=alike) != spec:
            return False
        self.spec = spec
        self._deliveries.retune(spec)
        self.reporter.add(revision=spec.revision, idle_rules=idle_rules(spec, self._answers))
        return True

    def hand_over(self) -> None:
        """Says that another has to take the stream over; after `stop`.

        Raises:
            StoreUnavailable: Redis cannot do it now.
        """
        reason = "its reader stopped; waiting for another one"
        self.reporter.report_last("starting", reason, ingest=None, restarts=self._restarts + 1)

    def join(self, timeout_s: float) -> None:
        """Waits for the thread to end."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        with log_context(self.spec.id):
            self._read()

    def _read(self) -> None:
        try:
            outcome = self._attempt()
        except Stopped:
            return
        except FencedError:
            self.reporter.mute()
            outcome = Outcome("lost")
        except RewindError as error:
            _log.warning("%s: %s; reading it again from there", self.spec.id, error)
            outcome = Outcome("again", self._sender.progressed)
        except Exception as error:
            if self._stopped.is_set():
                return
            outcome = self._failed(error)
        finally:
            self._sender.leave()
            self._source.close()
            self._deliveries.stop(within_s=0)
        self.outcome = outcome

    def _failed(self, error: Exception) -> Outcome:
        """A file stays as it is; whatever lies beyond a network, and Inference, may come back."""
        final = isinstance(error, (SourceError, UsageError)) and not self._source.comes_back
        if not isinstance(error, VwtError):
            _log.warning("%s stopped where nobody expected it", self.spec.id, exc_info=error)
        facts = self._dropped() | ({"ingest": None} if final else {})
        self.reporter.report("failed", one_line(error), **facts)
        self._deliveries.close("failed", one_line(error), within_s=_RULES_S)
        return Outcome("failed" if final else "retry", self._sender.progressed)

    def _attempt(self) -> Outcome:
        next_frame = self._log.next_frame()
        self.reporter.frame = next_frame
        self.reporter.report("starting")
        self._deliveries.start(next_frame)
        asked = self._context.describe(self.spec.model)
        # Imports torch, while the model may still be loading; who reads no stream does without.
        from workers.ingest.round import Round

        model: ModelFacts = self._waited(asked)
        self._settings, self._answers = _settings_for(self.spec, model), model.answers
        model_input = model.inputs.spec(self.spec.model, self.spec.fit, self.spec.size)
        source = self._source.open()
        info = source.info
        self.reporter.report(
            "running",
            live=info.live,
            width=info.width,
            height=info.height,
            tokenizer=self._settings.tokenizer,
            idle_rules=idle_rules(self.spec, self._answers),
        )
        position = resume(self.spec, self._status, next_frame, info.live, time.time())
        most = self._context.settings.ingest.micro_batch
        while True:
            if self._packets is not None:
                self._packets.place(position.start_s)
            present = Round(self.spec, source, model_input, position, most, self._overload, self._missed)
            position = self._round(present)
            if info.live or not self.spec.loop:
                break
            source = self._source.open()
        self._sender.drain()
        self._deliver_rest()
        self.reporter.report("ended", self._flaw, ingest=None, **self._dropped())
        return Outcome("ended", self._sender.progressed)

    def _deliver_rest(self) -> None:
        """Waits until the sinks have everything: nobody looks after a stream that has ended."""
        self._deliveries.close("ended", self._flaw, within_s=_RULES_S)
        self._deliveries.look()
        if self._deliveries.caught_up():
            return
        self.reporter.report("running", "delivering the rest to its sinks")
        while not self._deliveries.caught_up():
            if self._stopped.wait(LOOK_UP_S):
                raise Stopped

    def _waited(self, answer: Answer) -> Any:
        deadline = time.monotonic() + _DESCRIBE_S
        while True:
            try:
                return answer.result(timeout_s=LOOK_UP_S)
            except Exception as error:
                if not pending(error) or time.monotonic() > deadline:
                    raise
                if self._stopped.is_set():
                    raise Stopped from None

    def _notice(self, notice: Notice) -> None:
        """Called from threads of the source."""
        if self._stopped.is_set():
            return
        if notice.kind == "reconnecting":
            self._context.metrics.reconnecting()
            self.reporter.report("reconnecting", notice.message)
        elif notice.kind == "reconnected":
            self.reporter.report("running")
        elif notice.kind in ("truncated", "refused", "ended"):
            self._flaw = redact(notice.message)
        else:
            _log.info("%s: %s", self.spec.id, notice.message, extra={"stream": self.spec.id})

    def _round(self, present: Round) -> Position:
        """Sends what is left of one round of the source.

        Returns:
            Where the next round begins.
        """
        try:
            while True:
                if present.alone:
                    self._sender.drain()
                else:
                    self._sender.wait_room()
                self._wait_turn()
                sender = self._sender
                frames = present.batch(sender.round_trip_s, sender.interval_s is not None, sender.room)
                if self._stopped.is_set():
                    raise Stopped
                if frames is None:
                    break
                if (decoding := present.decoding()) is not None:
                    self.reporter.add(decoding=decoding)
                # A camera may change its size at any frame.
                for _, alike in groupby(frames, key=lambda frame: frame.image.shape):
                    self._send(list(alike), present)
        except SourceError:
            # What it gave becomes durable before anything is said of its end.
            self._sender.drain()
            raise
        finally:
            self._missed = present.close()
        return present.following()

    def _wait_turn(self) -> None:
        """Waits until a stream that cannot have all its frames may send more."""
        wait_s = self._pace.wait_s()
        if wait_s and self._stopped.wait(wait_s):
            raise Stopped

    def _send(self, frames: list[Frame], present: Round) -> None:
        first = present.position.next_frame
        # Those may change on the way, see `retune`.
        settings = replace(self._settings, **drawn_of(self.spec))
        facts = present.facts(frames)
        images = np.stack([frame.image for frame in frames])
        durable = {} if present.live else present.position.status(self.spec)
        self._context.metrics.decoded(sum(frame.times.decode_ms for frame in frames) / len(frames) / 1000)
        tracing = self._context.tracing
        trace = None if tracing is None else tracing.message(self.spec.id, first, frames, settings)
        carrier = None if trace is None else trace.carrier
        batch = FrameBatch(
            stream=self.spec.id,
            fence=self._fence,
            first=first,
            images=images,
            facts=facts,
            settings=settings,
            position=durable,
            live=present.drops,
            trace=carrier,
        )
        self._deliveries.keep(first, frames)
        self._sender.send(batch, trace)
        most = 1 if present.alone else self._context.settings.ingest.in_flight
        self._pace.sent(len(frames), self._sender.interval_s, most if present.gives_way else None)
        self.reporter.frame = present.position.next_frame

    def _answered(self, seconds: float) -> None:
        self._context.metrics.answered(seconds)
        self._pace.answered(seconds)
        self._deliveries.look()

    def _dropped(self) -> dict[str, Any]:
        """The field of the status where drops are left that no result tells of; nothing is under way then."""
        if not self._missed:
            return {}
        try:
            told = StreamStore(self._context.client).status(self.spec.id).dropped
        except StoreUnavailable:
            return {}
        return {"dropped": dict(Counter(told) + self._missed)}

    def _renewed(self, fence: int) -> int | None:
        """Waits until the supervisor has seen whether a refused fence means that the lease is lost."""
        with self._renewal:
            self._renewal.wait_for(
                lambda: self._fence > fence or self._stopped.is_set(), self._context.settings.ingest.lease_s
            )
            return self._fence if self._fence > fence else None


def _settings_for(spec: StreamSpec, model: ModelFacts) -> TokenSettings:
    kind = preferred(model.tokenizers) if spec.tokenizer is None else kind_of(spec.tokenizer)
    return TokenSettings(
        model=spec.model,
        tokenizer=kind.name,
        options=kind.check(spec.options),
        scope=spec.word_scope,
        fit=spec.fit,
        size=spec.size,
        audit=spec.audit,
        guard=spec.guard,
        guard_by=spec.guard_by,
        priority=spec.priority,
        min_target=spec.min_target,
        changed=spec.changed,
        history=spec.history,
    )
