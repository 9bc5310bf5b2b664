"""Decides which streams this replica reads: takes their leases, keeps them, and gives them back."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

from vocab.connection import server_name
from vocab.errors import StoreUnavailable
from vocab.redis_errors import redis_errors
from vocab.redis_lease import RedisLease
from workers.contract.changes import announce
from workers.contract.keys import ROOM
from workers.contract.peers import Peers
from workers.contract.result_log import ResultLog
from workers.contract.stream_life import StreamLease
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamExistsError, StreamStore
from workers.ingest.claims import Claims
from workers.ingest.cpu_use import CpuUse
from workers.ingest.directory import Directory
from workers.ingest.replica_context import ReplicaContext
from workers.ingest.status_reporter import StatusReporter
from workers.ingest.worker import StreamWorker
from workers.memory import Trimmer

_log = logging.getLogger(__name__)

# A stream that failed is tried again after so long, doubling.
_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
# Streams are left and leases released within so long when a replica ends.
_CLOSE_S = 2.5


@dataclass(slots=True)
class _Held:
    """A stream whose lease is ours."""

    lease: RedisLease
    worker: StreamWorker
    failures: int = 0
    retry_at: float | None = None

    @property
    def spec(self) -> StreamSpec:
        return self.worker.spec


class Supervisor:
    """Looks at all streams every `poll_s` seconds, in a thread of its own, and reads some of them.

    Args:
        context: what the streams of this replica need.
    """

    def __init__(self, context: ReplicaContext) -> None:
        self._context = context
        self._settings = context.settings.ingest
        self._metrics = context.metrics
        self._client = context.client
        self._store = StreamStore(context.client)
        self._held: dict[str, _Held] = {}
        name = str(context.where["replica"])
        self._directory = Directory(context.client, name, part_s=self._settings.lease_s)
        self._peers = Peers(context.client, name, self._settings.lease_s)
        self._wanted = 0
        # Version of the specs by which the replicas of Inference got their streams.
        self._placed = 0
        self._claims = Claims(self._settings)
        self._cpu = CpuUse()
        self._epoch: str | None = None
        self._away = False
        self._renew_at = 0.0
        self._trimmer = Trimmer()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="vwt-supervisor", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def streams(self) -> list[str]:
        """Ids of the streams held, in order."""
        return sorted(self._held.copy())

    @property
    def wanted(self) -> int:
        """Streams of all replicas that are to be read now, as of the last look."""
        return self._wanted

    @property
    def stream_cores(self) -> float:
        """The part of a core that a stream of this replica takes."""
        return self._cpu.stream_cores

    def close(self) -> None:
        """Leaves all streams and gives their leases back, so that others take them over at once."""
        self._closed.set()
        deadline = time.monotonic() + _CLOSE_S
        self._thread.join(_CLOSE_S)
        held = list(self._held.values())
        for one in held:
            one.worker.stop()
        try:
            self._peers.leave()
        except StoreUnavailable:
            # Then it is taken for dead a little later.
            pass
        for one in held:
            if time.monotonic() > deadline:
                break
            try:
                self._hand_over(one)
            except StoreUnavailable:
                break
        for one in held:
            one.worker.join(max(deadline - time.monotonic(), 0.0))
        self._held.clear()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._turn()
                if self._away:
                    _log.warning("Redis is back; %d streams held", len(self._held))
                self._away = False
            except StoreUnavailable as error:
                if not self._away:
                    _log.warning("%s; going on with %d streams held", error, len(self._held))
                self._away = True
            self._closed.wait(self._settings.poll_s)

    def _turn(self) -> None:
        # Before anything whose time grows with the streams of all.
        lapsed = self._renew()
        self._cpu.look(len(self._held))
        if self._epoch is None:
            self._store.seal()
        alive = self._peers.look(len(self._held) + self._directory.waiting())
        self._directory.refresh(alive.names)
        # After what may have found nothing: a Redis that has just lost its data must not look like one whose
        # streams were all removed.
        epoch, _ = self._store.epoch()
        if self._epoch not in (None, epoch):
            self._restore()
            self._directory.refresh(alive.names, everything=True)
            lapsed = []
        self._epoch = epoch
        specs = self._directory.specs
        if self._directory.version != self._placed:
            # A stream that is paused leaves its place to others.
            self._context.placement.use_streams(one.id for one in specs.values() if not one.paused)
            self._placed = self._directory.version
        for held in lapsed:
            if _same(held.spec, specs.get(held.spec.id)):
                self._regain(held)
        for held in list(self._held.values()):
            self._tend(held, specs.get(held.spec.id))
        self._directory.look(self._held)
        self._wanted = alive.streams
        self._claims.look(self._wanted, len(alive.names), self._cpu.stream_cores)
        self._claim()
        self._share()
        frames = sum(held.worker.under_way for held in self._held.values())
        self._metrics.looked(len(self._held), frames, self._cpu.stream_cores)
        self._trimmer.step()

    def _renew(self) -> list[_Held]:
        """Renews the leases when it is time; returns those that were lost."""
        now = time.monotonic()
        if now < self._renew_at or not self._held:
            return []
        held = list(self._held.values())
        renewed = RedisLease.renew_all(self._client, [one.lease for one in held])
        self._renew_at = now + self._settings.lease_s / 3
        return [one for one, kept in zip(held, renewed, strict=True) if not kept]

    def _restore(self) -> None:
        """Puts back what a Redis that lost its data should know: our streams, and those that nobody reads."""
        _log.warning("Redis has lost its data; putting back the streams held here")
        for held in list(self._held.values()):
            # The lease first: with the spec alone another replica would begin at frame 0.
            fence = held.lease.acquire()
            if fence is None:
                self._lose(held)
                continue
            self._put_back(held.spec)
            held.worker.reporter.report_all(fence)
            held.worker.go_on(fence)
        for spec in self._directory.unread.specs:
            self._put_back(spec)

    def _put_back(self, spec: StreamSpec) -> None:
        try:
            self._store.add(spec)
        except StreamExistsError:
            pass

    def _regain(self, held: _Held) -> None:
        """Takes a lease again that had run out, as it does while Redis is away."""
        fence = held.lease.acquire()
        if fence is None:
            stream = held.spec.id
            _log.warning("%s is read by somebody else now", stream, extra={"stream": stream})
            self._lose(held)
        elif fence == held.worker.fence + 1:
            held.worker.go_on(fence)
        else:
            # Somebody else had it meanwhile and may have gone further.
            self._again(held, held.spec, held.failures)

    def _tend(self, held: _Held, spec: StreamSpec | None) -> None:
        outcome = held.worker.outcome
        if spec is None:
            self._drop(held)
            held.lease.release()
        elif spec.paused:
            held.worker.stop()
            held.worker.reporter.report_last("paused", revision=spec.revision, ingest=None)
            self._drop(held)
            held.lease.release()
        elif not _same(held.spec, spec):
            if not held.worker.retune(spec):
                self._again(held, spec, 0)
        elif outcome is None:
            held.worker.reporter.flush()
        elif outcome.kind == "again":
            self._again(held, spec, held.failures)
        elif outcome.kind == "retry":
            held.worker.reporter.flush()
            self._retry(held, spec, outcome.progressed)
        elif outcome.kind == "lost":
            self._lose(held)
            held.lease.release()
        else:
            held.worker.reporter.flush()
            self._drop(held)
            held.lease.release()

    def _retry(self, held: _Held, spec: StreamSpec, progressed: bool) -> None:
        now = time.monotonic()
        if held.retry_at is None:
            held.failures = 1 if progressed else held.failures + 1
            wait_s = min(_RETRY_S * 2 ** (held.failures - 1), _LONGEST_RETRY_S)
            held.retry_at = now + wait_s
            held.worker.reporter.add(retry_at=time.time() + wait_s)
        elif now >= held.retry_at:
            self._again(held, spec, held.failures)

    def _drop(self, held: _Held) -> None:
        """Leaves a stream and says nothing of it."""
        held.worker.reporter.mute()
        held.worker.stop()
        self._held.pop(held.spec.id, None)
        self._trimmer.note()

    def _lose(self, held: _Held) -> None:
        self._metrics.lease("lost")
        self._drop(held)

    def _again(self, held: _Held, spec: StreamSpec, failures: int) -> None:
        """Reads a stream anew, under a new fence that keeps out what is still under way."""
        self._drop(held)
        held.lease.release()
        self._take(spec, failures)

    def _take(self, spec: StreamSpec, failures: int = 0) -> bool:
        """Reads a stream unless somebody else was faster."""
        owner = str(self._context.where["replica"])
        lease = StreamLease(self._client, spec, self._settings.lease_s, owner)
        fence = lease.acquire()
        if fence is None:
            return False
        status = self._store.status(spec.id)
        # The streams share the cores among them.
        threads = max((os.cpu_count() or 1) // (len(self._held) + 1), 1)
        self._held[spec.id] = _Held(
            lease, StreamWorker(spec, fence, status, self._context, threads), failures
        )
        return True

    def _claim(self) -> None:
        """Takes what nobody reads, as far as it is ours to take."""
        waiting = self._directory.unread.waiting
        # Replicas that look at the same moment should not all try the same one first.
        random.shuffle(waiting)
        for one in waiting:
            if self._closed.is_set() or self._claims.too_fast:
                return
            if len(self._held) >= self._claims.limit(one):
                self._directory.pass_on(one)
            elif self._take(one.spec):
                self._claims.took()
                self._metrics.lease("taken")
        for spec in self._directory.unread.to_pause:
            self._pause(spec)

    def _share(self) -> None:
        """Evens out what was taken before there were as many replicas as now."""
        room = self._claims.load.fair - len(self._held)
        excess = len(self._held) - self._claims.load.most
        with redis_errors("share the streams", server_name(self._client)):
            client: Any = self._client
            if room > 0 and not self._directory.unread.waiting:
                client.set(ROOM, room, px=int(3000 * self._settings.poll_s))
            room = int(client.getdel(ROOM) or 0) if excess > 0 else 0
        # The newest: the oldest are those that have been without a gap for longest.
        for held in list(self._held.values())[::-1][: min(excess, room)] if room else ():
            del self._held[held.spec.id]
            held.worker.stop()
            self._hand_over(held)

    def _hand_over(self, held: _Held) -> None:
        """Gives up a stream that was stopped, for another to take at once."""
        held.worker.hand_over()
        held.lease.release()
        with redis_errors("tell that a stream is to be read", server_name(self._client)):
            announce(self._client, [held.spec.id])
        self._metrics.lease("handed_over")

    def _pause(self, spec: StreamSpec) -> None:
        """Says of a stream that nobody reads that it is paused."""
        lease = StreamLease(self._client, spec, self._settings.lease_s)
        fence = lease.acquire()
        if fence is not None:
            log = ResultLog(self._client, spec.id, self._context.settings.kept_results)
            StatusReporter(log, fence, {"revision": spec.revision, "ingest": None}).report("paused")
            lease.release()


def _same(ours: StreamSpec, theirs: StreamSpec | None) -> bool:
    """Whether two specs are one and the same, not changed and not a new stream of the same name."""
    return theirs is not None and (ours.revision, ours.created_at) == (theirs.revision, theirs.created_at)
