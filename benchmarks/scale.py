"""What keeping many streams costs Redis, and how they are taken over, with nothing decoded or predicted.

    python -m benchmarks.scale [--streams 100 1000 10000] [--per-replica 50] [--seconds 20] [--slow 1]
                               [--settled] [--inference]

The product's own supervisors, leases and state, on a real Valkey; each replica has a client of its own, and
takes its turns when its thread would, all in one thread here; a stream's worker is one that only says that it
runs. Three phases per number of streams:

- taking: all streams are there, then the replicas start; seconds until each is read, and the most that one
  replica took within a second;
- steady: commands that Redis is given per second and per stream, its bytes out per second and per stream, and
  the part of a core that it and that all replicas together use. Once a minute one of all replicas reads the
  whole list: how often it did by chance is told (`lists`), the bytes are those of one reading a minute;
- fail-over: a tenth of the replicas (at least one) stop without a word, as when they are killed; seconds
  until each of their streams is read again, moves of other streams, and streams of the fullest and the
  emptiest replica over the mean.

Results of frames are not written: what those cost goes by the frames, not by the streams. Each spec is parsed
once for all replicas here; in a service each does so when it starts, and then one of them all every minute.

`--slow K` lets time run K times slower, for more replicas than one thread can be: leases, looks and the pace
of taking last K times as long, and all figures are told in the seconds that this stands for.

With `--settled` the first phase is left out: each replica has its part from the start. Taking costs looks by
the number of streams times that of replicas, which is minutes of one thread for 10,000 on 200.

With `--inference` it is about the replicas of Inference instead, see `benchmarks.placing`.
"""

from __future__ import annotations

import argparse
import heapq
import os
import random
import resource
import time
from collections import Counter
from contextlib import suppress
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any

import psutil
from rich.console import Console

from benchmarks.common import write_results
from benchmarks.placing import placing
from tests.vocab.servers import Server
from vocab.connection import connect
from vocab.errors import StoreUnavailable
from workers.contract import stream_store
from workers.contract.changes import changed_since
from workers.contract.keys import STREAMS
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import StreamStore
from workers.ingest import directory, supervisor
from workers.ingest.claims import Claims
from workers.ingest.replica_context import ReplicaContext
from workers.ingest.status_reporter import StatusReporter
from workers.settings.schema import ServiceSettings

_LIST_S = directory._LIST_S


class Worker:
    """Stands for a `StreamWorker`: says that the stream runs, and reads nothing."""

    outcome = None
    under_way = 0
    # Of all replicas: which took which stream when.
    taken: list[tuple[float, str, str]] = []  # noqa: RUF012 - one list on purpose

    def __init__(
        self, spec: StreamSpec, fence: int, status: StreamStatus, context: ReplicaContext, *_: Any
    ) -> None:
        self.spec, self.fence = spec, fence
        facts = {"revision": spec.revision, "ingest": context.where, "restarts": status.restarts}
        self.reporter = StatusReporter(ResultLog(context.client, spec.id, 100), fence, facts)
        self.reporter.report("running")
        self.taken.append((time.monotonic(), context.where["replica"], spec.id))

    def go_on(self, fence: int) -> None:
        self.reporter.renew(fence)
        self.fence = fence

    def hand_over(self) -> None:
        self.reporter.report_last("starting", "waiting for another reader", ingest=None)

    def stop(self) -> None:
        pass

    def join(self, timeout_s: float) -> None:
        pass


class Replica(supervisor.Supervisor):
    """One whose turns are taken for it: hundreds of threads would wait for one another."""

    def _run(self) -> None:
        pass


class Cluster:
    """Replicas on a Redis with streams."""

    def __init__(self, streams: int, replicas: int, slow: float) -> None:
        self._slow = slow
        self.server = Server("valkey")
        self.client: Any = connect(self.server.url)
        self.streams = streams
        store = StreamStore(self.client)
        for number in range(streams):
            store.add(StreamSpec(id=f"cam-{number}", source="x"))
        Worker.taken.clear()
        self._poll_s = 0.5 * slow
        self.replicas = {f"r{n}": self._replica(f"r{n}", streams // replicas) for n in range(replicas)}
        # When each takes its next turn; they do not begin at once.
        self._turns = [(time.monotonic() + random.random() * self._poll_s, name) for name in self.replicas]
        heapq.heapify(self._turns)

    def _replica(self, name: str, target: int) -> Replica:
        # One process is all replicas, so what it takes is not what one of them takes.
        ingest = {"streams_per_replica": target, "cores_per_replica": 1000.0}
        ingest |= {"lease_s": 5.0 * self._slow, "poll_s": self._poll_s}
        settings = ServiceSettings.model_validate({"ingest": ingest})
        client = connect(self.server.url)
        where = {"replica": name, "node": "here", "pid": os.getpid()}
        nothing: Any = None
        return Replica(ReplicaContext(settings, client, client, nothing, nothing, where))

    def settle(self) -> None:
        """Has each replica read its part, and know all that it would by then."""
        specs, (_, after) = StreamStore(self.client).all(), changed_since(self.client, None)
        epoch, _ = StreamStore(self.client).epoch()
        names, parts = sorted(self.replicas), list(specs.values())
        for number, name in enumerate(names):
            replica = self.replicas[name]
            known, replica._epoch = replica._directory, epoch
            known.specs, known._unknown, known._changes._after = dict(specs), False, after
            known._replicas, known._place = tuple(names), number
            known._list_at = known._next_list()
            known._part_at = time.monotonic() + random.random() * 5 * self._slow
            for spec in parts[number :: len(names)]:
                replica._take(spec)
        for replica in self.replicas.values():
            replica._peers.look(0)

    def held(self) -> Counter[str]:
        return Counter({name: len(replica.streams()) for name, replica in self.replicas.items()})

    def until_all_are_read(self) -> None:
        while sum(len(replica._held) for replica in self.replicas.values()) < self.streams:
            self._turn()

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        until = time.monotonic() + seconds * self._slow
        while time.monotonic() < until:
            self._turn()

    def _turn(self) -> None:
        due, name = heapq.heappop(self._turns)
        if name in self.replicas:
            time.sleep(max(due - time.monotonic(), 0.0))
            # Redis may not answer in time on a busy machine; as in a service the next turn makes it good.
            with suppress(StoreUnavailable):
                self.replicas[name]._turn()
            heapq.heappush(self._turns, (time.monotonic() + self._poll_s, name))

    def kill(self, count: int) -> None:
        """That many replicas say and do nothing more."""
        for name in list(self.replicas)[:count]:
            del self.replicas[name]

    def close(self) -> None:
        self.kill(len(self.replicas))
        self.server.close()


def scale(streams: int, per_replica: int, seconds: float, slow: float, settled: bool) -> dict[str, Any]:
    """See the module."""
    replicas = max(streams // per_replica, 2)
    began = time.monotonic()
    supervisor.Claims = partial(Claims, clock=lambda: time.monotonic() / slow)  # type: ignore[attr-defined, assignment]
    directory._LIST_S = _LIST_S * slow
    cluster = Cluster(streams, replicas, slow)
    try:
        found: dict[str, float] = {"streams": streams, "replicas": replicas, "slow": slow}
        if settled:
            cluster.settle()
        else:
            cluster.until_all_are_read()
            found["taking_s"] = (time.monotonic() - Worker.taken[0][0]) / slow
            found["most_taken_in_1_s"] = _most_taken(slow)
        found |= _steady(cluster, seconds)
        before, killed = len(Worker.taken), max(replicas // 10, 1)
        orphans = sum(len(replica.streams()) for replica in list(cluster.replicas.values())[:killed])
        at = time.monotonic()
        cluster.kill(killed)
        cluster.until_all_are_read()
        found |= {"killed": killed, "orphans": orphans, "fail_over_s": (time.monotonic() - at) / slow}
        Console().print(f"{streams} streams: failed over after {found['fail_over_s']:.1f} s")
        cluster.run(5)
        moves, loads = Counter(stream for _, _, stream in Worker.taken[before:]), cluster.held()
        mean = streams / len(loads)
        found |= {
            "moved_twice": sum(count > 1 for count in moves.values()),
            "others_moved": len(moves) - orphans,
            "most_over_mean": max(loads.values()) / mean,
            "least_over_mean": min(loads.values()) / mean,
            "most_taken_in_1_s_then": _most_taken(slow, before),
        }
        return {key: round(value, 4) for key, value in found.items()} | {"took_s": time.monotonic() - began}
    finally:
        cluster.close()


def _steady(cluster: Cluster, seconds: float) -> dict[str, float]:
    """Costs of keeping what is kept."""
    cluster.run(6)
    redis = psutil.Process(cluster.server._process.pid)
    client = cluster.client
    # To ask is to be sent something, too.
    asked = _counters(client)
    before, cpu, own = _counters(client), sum(redis.cpu_times()[:2]), _own_cpu()
    cluster.run(seconds)
    after = _counters(client)
    client.hgetall(STREAMS)
    asking = before[1] - asked[1]
    size = _counters(client)[1] - after[1] - asking
    commands, lists = after[0] - before[0], after[2] - before[2]
    sent_per_s = (after[1] - before[1] - asking - lists * size) / seconds + size / _LIST_S
    return {
        "commands_per_s": commands / seconds,
        "commands_per_s_and_stream": commands / seconds / cluster.streams,
        "kilobytes_out_per_s": sent_per_s / 1000,
        "bytes_out_per_s_and_stream": sent_per_s / cluster.streams,
        "lists": lists,
        "redis_cores": (sum(redis.cpu_times()[:2]) - cpu) / seconds,
        "replica_cores": (_own_cpu() - own) / seconds,
    }


def _counters(client: Any) -> tuple[int, int, int]:
    """Commands, bytes out and readings of a whole hash, as of a stream's state when it is taken."""
    stats, calls = client.info("stats"), client.info("commandstats")
    lists = calls.get("cmdstat_hgetall", {"calls": 0})["calls"]
    return stats["total_commands_processed"], stats["total_net_output_bytes"], lists


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _most_taken(slow: float, begin: int = 0) -> int:
    """Most streams that one replica took within a second."""
    times: dict[str, list[float]] = {}
    for at, replica, _ in Worker.taken[begin:]:
        times.setdefault(replica, []).append(at)
    return max(
        (sum(at <= other < at + slow for other in own) for own in times.values() for at in own), default=0
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--per-replica", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--slow", type=float, default=1)
    parser.add_argument("--settled", action="store_true")
    parser.add_argument("--inference", action="store_true")
    asked = parser.parse_args()
    if asked.inference:
        found = {
            streams: placing(streams, max(streams // asked.per_replica, 2), draws=5)
            for streams in asked.streams
        }
        Console().print(found)
        write_results("placing", {"per_replica": asked.per_replica, "rows": found})
        return
    supervisor.StreamWorker = Worker  # type: ignore[attr-defined, assignment]
    stream_store.from_text = lru_cache(None)(stream_store.from_text)  # type: ignore[attr-defined]
    console, rows = Console(), []
    for streams in asked.streams:
        rows.append(scale(streams, asked.per_replica, asked.seconds, asked.slow, asked.settled))
        console.print(rows[-1])
    for less, more in pairwise(rows):
        ratio = more["commands_per_s_and_stream"] / less["commands_per_s_and_stream"]
        console.print(f"commands per stream, {more['streams']} over {less['streams']} streams: {ratio:.2f}")
        ratio = more["bytes_out_per_s_and_stream"] / less["bytes_out_per_s_and_stream"]
        console.print(f"bytes per stream, {more['streams']} over {less['streams']} streams: {ratio:.2f}")
    write_results("scale", {"per_replica": asked.per_replica, "rows": rows})


if __name__ == "__main__":
    main()
