from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.vocab.servers import Server, eventually, unused_port
from tests.workers.sinks.conftest import Bench
from tests.workers.sinks.receiver import Receiver
from vocab.connection import connect
from workers.contract.event_log import EventLog, Looked
from workers.contract.keys import StreamKeys
from workers.contract.stream_store import StreamStore


def _jsonl(tmp_path: Path, name: str = "out") -> dict[str, Any]:
    return {"kind": "jsonl", "path": str(tmp_path / f"{name}.jsonl"), "name": name}


def _frames(tmp_path: Path, name: str = "out") -> list[int]:
    return [json.loads(line)["frame"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]


def test_a_new_sink_begins_with_the_oldest_result_that_is_kept(bench: Bench, tmp_path: Path) -> None:
    bench.results(500, kept=100)
    oldest = int(bench.client.xrange(StreamKeys("gate").results, count=1)[0][0].partition(b"-")[0]) - 1
    assert oldest > 0
    sink = _jsonl(tmp_path)
    assert bench.status(sink) == {
        "name": "out",
        "kind": "jsonl",
        "to": sink["path"],
        **dict.fromkeys(("delivered", "lag", "lost", "at", "error")),
    }
    bench.deliver(sink)
    bench.caught_up(sink)
    assert _frames(tmp_path) == list(range(oldest, 500))
    assert bench.status(sink)["lost"] == 0


def test_results_that_were_trimmed_before_the_sink_took_them_are_counted(
    bench: Bench, receiver: Receiver
) -> None:
    sink = {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/"}
    bench.deliver(sink)
    bench.results(10)
    bench.caught_up(sink)
    receiver.status = 500
    bench.results(1000, kept=100)
    # It holds the first of them back in hand, and knows nothing of what was trimmed.
    assert receiver.refused.wait(20)
    receiver.status = 200
    bench.caught_up(sink)
    status = bench.status(sink)
    assert status["lost"] > 0
    assert len(receiver.frames()) + status["lost"] == 1010
    assert receiver.frames() == sorted(receiver.frames())
    assert status["delivered"] == 1010


def test_a_sink_that_hangs_holds_up_no_other_and_no_stop(
    bench: Bench, tmp_path: Path, mute_port: int
) -> None:
    hung = {"kind": "webhook", "url": f"http://127.0.0.1:{mute_port}/"}
    fine = _jsonl(tmp_path)
    deliveries = bench.deliver(hung, fine)
    bench.results(50)
    bench.caught_up(fine)
    assert _frames(tmp_path) == list(range(50))
    assert bench.status(hung)["lag"] == 50
    # Returns though a request is under way.
    deliveries.stop(0.1)


def test_who_lost_the_lease_moves_nothing_and_goes_on_when_it_has_it_again(
    bench: Bench, tmp_path: Path
) -> None:
    sink = _jsonl(tmp_path)
    bench.fence = 7
    bench.results(5)
    bench.deliver(sink, fence=6)
    bench.deliver(sink)
    bench.caught_up(sink)
    assert _frames(tmp_path) == list(range(5))
    bench.fence = 8
    bench.results(5)
    bench.caught_up(sink)
    assert _frames(tmp_path) == list(range(10))


def test_a_sink_that_was_taken_away_begins_anew_when_it_comes_back(bench: Bench, tmp_path: Path) -> None:
    first, second = _jsonl(tmp_path, "first"), _jsonl(tmp_path, "second")
    bench.results(3)
    deliveries = bench.deliver(first, second)
    bench.caught_up(first, second)
    deliveries.stop()
    bench.deliver(second).stop()
    assert bench.client.hkeys(StreamKeys("gate").sinks) == [b"second"]
    bench.deliver(first, second)
    bench.caught_up(first, second)
    assert _frames(tmp_path, "first") == [0, 1, 2, 0, 1, 2]
    assert _frames(tmp_path, "second") == [0, 1, 2]


def test_a_stream_that_is_removed_leaves_nothing_of_its_sinks(bench: Bench, tmp_path: Path) -> None:
    sink = _jsonl(tmp_path)
    StreamStore(bench.client).add(bench.spec(sink))
    bench.results(3)
    deliveries = bench.deliver(sink)
    bench.caught_up(sink)
    StreamStore(bench.client).remove("gate")
    deliveries.stop()
    assert not bench.client.exists(StreamKeys("gate").sinks)


def test_a_redis_that_loses_its_data_costs_only_what_it_lost(
    bench: Bench, tmp_path: Path, server: Server
) -> None:
    sink = _jsonl(tmp_path)
    bench.deliver(sink)
    bench.results(10)
    bench.caught_up(sink)
    server.kill()
    server.start()
    # Frames go on counting; two that nobody had read went with the data.
    bench.client = connect(server.url)
    bench._next += 2
    bench.results(5)
    eventually(lambda: bench.status(sink)["lag"] == 0)
    assert _frames(tmp_path) == [*range(10), *range(12, 17)]
    status = bench.status(sink)
    assert (status["delivered"], status["lost"]) == (17, 2)


def test_a_sink_whose_host_may_no_longer_be_used_is_left_alone(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", unused_port())) as listener:
        bench.settings.access.allow_hosts.clear()
        sink = {"kind": "webhook", "url": f"http://127.0.0.1:{listener.getsockname()[1]}/"}
        bench.deliver(sink)
        bench.results(1)
        eventually(lambda: bench.status(sink)["error"])
        assert "may not be delivered to: its address 127.0.0.1 is a loopback" in bench.status(sink)["error"]
        listener.settimeout(0)
        try:
            listener.accept()
        except BlockingIOError:
            return
        raise AssertionError("it connected")


def test_an_error_is_told_no_longer_once_nothing_waits(bench: Bench, tmp_path: Path) -> None:
    sink = _jsonl(tmp_path)
    deliveries = bench.deliver(sink)
    bench.results(5)
    bench.caught_up(sink)
    deliveries.stop(5)
    # Whoever read the stream before could not read the results, and left it so.
    key, field = StreamKeys("gate").sinks, "out"
    left = json.loads(bench.client.hget(key, field)) | {"error": "cannot read results of gate"}
    bench.client.hset(key, field, json.dumps(left))
    assert bench.status(sink)["error"] is not None

    bench.deliver(sink)

    eventually(lambda: bench.status(sink)["error"] is None, within_s=20)
    assert bench.status(sink)["lag"] == 0


class Log:
    """Writes events of the bench's stream, as Ingest does."""

    def __init__(self, bench: Bench, kept: int = 1000) -> None:
        self._bench = bench
        self._log = EventLog(bench.client, "gate", kept)
        self._looked = self._log.begin(bench.fence, 0, None)
        self._count = 0

    def tell(self, count: int) -> None:
        ids = range(self._count, self._count + count)
        events = [{"stream": "gate", "kind": "event", "id": f"{number}"} for number in ids]
        after = Looked(0, None, self._looked.version + 1)
        self._log.append(self._bench.fence, self._looked, after, events, {})
        self._looked, self._count = after, self._count + count


def _ids(receiver: Receiver) -> list[str]:
    return [one["id"] for _, body in receiver.requests for one in body["results"] if "kind" in one]


def test_a_webhook_gets_what_matters_instead_of_every_frame(bench: Bench, receiver: Receiver) -> None:
    sink = {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", "events": "only"}
    log = Log(bench)
    bench.results(20)
    log.tell(2)
    deliveries = bench.deliver(sink)
    bench.caught_up(sink)
    assert _ids(receiver) == ["0", "1"]
    assert all("frame" not in one for _, body in receiver.requests for one in body["results"])
    # While it takes none they wait, and nothing is lost; nobody else is asked to wait.
    receiver.status = 500
    log.tell(3)
    deliveries.look()
    assert receiver.refused.wait(20)
    assert bench.status(sink)["lag"] == 3
    receiver.status = 200
    bench.caught_up(sink)
    assert _ids(receiver) == ["0", "1", "2", "3", "4"]
    deliveries.stop(5)
    log.tell(1)
    bench.deliver(sink)
    bench.caught_up(sink)
    assert _ids(receiver) == ["0", "1", "2", "3", "4", "5"]
    assert bench.status(sink)["lost"] == 0


def test_a_sink_takes_results_and_events_or_results_alone(bench: Bench, tmp_path: Path) -> None:
    also, no = _jsonl(tmp_path, "also"), _jsonl(tmp_path, "no") | {"events": "no"}
    log = Log(bench)
    bench.results(3)
    log.tell(2)
    bench.deliver(also, no)
    bench.caught_up(also, no)
    lines = [json.loads(line) for line in (tmp_path / "also.jsonl").read_text().splitlines()]
    assert ([one["frame"] for one in lines if "kind" not in one], len(lines)) == ([0, 1, 2], 5)
    assert _frames(tmp_path, "no") == [0, 1, 2]


def test_events_that_were_trimmed_before_the_sink_took_them_are_counted(
    bench: Bench, receiver: Receiver
) -> None:
    sink = {"kind": "webhook", "url": f"http://127.0.0.1:{receiver.port}/", "events": "only"}
    log = Log(bench, kept=5)
    log.tell(8)
    # A new sink begins with the oldest that is kept.
    deliveries = bench.deliver(sink)
    bench.caught_up(sink)
    assert (_ids(receiver), bench.status(sink)["lost"]) == (["3", "4", "5", "6", "7"], 0)
    deliveries.stop(5)
    log.tell(8)
    bench.deliver(sink)
    bench.caught_up(sink)
    assert (_ids(receiver)[5:], bench.status(sink)["lost"]) == (["11", "12", "13", "14", "15"], 3)
