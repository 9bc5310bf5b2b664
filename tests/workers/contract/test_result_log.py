from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.vocab.servers import Server
from vocab.connection import RedisClient, connect
from vocab.errors import StoreUnavailable
from vocab.redis_lease import RedisLease
from workers.contract.fenced import FencedError
from workers.contract.keys import StreamKeys
from workers.contract.result_log import OutOfOrderError, ResultLog
from workers.contract.stream_status import StreamStatus

KEYS = StreamKeys("gate")


def _entries(client: RedisClient) -> list[tuple[str, str]]:
    entries: Any = client.xrange(KEYS.results)
    return [(entry.decode(), fields[b"result"].decode()) for entry, fields in entries]


def _status(client: RedisClient) -> StreamStatus:
    values: Any = client.hgetall(KEYS.state)
    return StreamStatus.from_hash(values)


def test_the_entry_of_a_frame_is_named_by_its_number(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    assert log.next_frame() == 0
    assert log.append(1, 0, ["a", "b"], {"pts_s": 0.5}) == 2
    assert _entries(client) == [("1-0", "a"), ("2-0", "b")]
    assert log.next_frame() == 2
    assert _status(client).next_frame == 2
    assert _status(client).pts_s == 0.5


def test_results_that_are_sent_again_are_written_once(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    log.append(1, 0, ["a", "b", "c"], {"pts_s": 2.0})
    assert log.append(1, 1, ["b again", "c again"], {"pts_s": 9.0}) == 3
    assert log.append(1, 2, ["c again", "d"], {"pts_s": 3.0}) == 4
    assert [text for _, text in _entries(client)] == ["a", "b", "c", "d"]
    assert _status(client).pts_s == 3.0


def test_a_late_copy_does_not_turn_the_status_back(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    log.append(1, 0, ["a"], {"pts_s": 1.0})
    log.append(1, 1, ["b"], {"pts_s": 2.0})
    assert log.append(1, 0, ["a"], {"pts_s": 1.0}) == 2
    assert _status(client).pts_s == 2.0
    assert _status(client).next_frame == 2


def test_results_before_those_that_are_missing_are_refused(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    log.append(1, 0, ["a"], {})
    with pytest.raises(OutOfOrderError, match="gate"):
        log.append(1, 2, ["c"], {})
    assert log.next_frame() == 1


def test_numbering_goes_on_in_a_redis_that_lost_its_data(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    log.append(7, 0, ["a"], {})
    client.flushall()
    assert log.append(7, 1, ["b"], {}) == 2
    assert _entries(client) == [("2-0", "b")]


def test_whoever_lost_the_lease_can_write_nothing_more(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    one, other = RedisLease(client, KEYS), RedisLease(client, KEYS)
    old = one.acquire()
    assert old is not None
    log.append(old, 0, ["a"], {})
    one.release()
    new = other.acquire()
    assert new is not None
    with pytest.raises(FencedError, match="gate"):
        log.append(old, 1, ["b"], {})
    with pytest.raises(FencedError):
        log.set_status(old, {"state": "ended"}, json.dumps({"state": "ended"}))
    assert log.append(new, 1, ["b by the new one"], {}) == 2
    assert [text for _, text in _entries(client)] == ["a", "b by the new one"]
    assert _status(client).state == "starting"


def test_after_data_loss_the_older_of_two_writers_is_still_fenced_off(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    client.flushall()
    log.append(8, 4, ["newer"], {})
    with pytest.raises(FencedError):
        log.append(7, 5, ["older"], {})


def test_two_that_append_the_same_frames_at_once_leave_each_once(server: Server) -> None:
    texts = [str(number) for number in range(200)]

    def write() -> None:
        log = ResultLog(connect(server.url), "gate", 10_000)
        for first in range(0, 200, 4):
            log.append(1, first, texts[first : first + 4], {})

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [text for _, text in _entries(connect(server.url))] == texts


def test_the_results_kept_are_bounded(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 100)
    for first in range(0, 2000, 50):
        log.append(1, first, ["x"] * 50, {})
    held: Any = client.xlen(KEYS.results)
    assert 100 <= held <= 300
    assert log.next_frame() == 2000


def test_a_change_of_state_is_kept_and_told(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 100)
    log.set_status(1, {"state": "failed", "reason": "no such file"}, json.dumps({"state": "failed"}))
    log.set_status(1, {"width": 640})
    status = _status(client)
    assert (status.state, status.reason, status.width) == ("failed", "no such file", 640)
    events: Any = client.xrange(KEYS.events)
    assert [json.loads(fields[b"state"]) for _, fields in events] == [{"state": "failed"}]


def test_a_full_redis_is_said_and_nothing_is_half_written(client: RedisClient) -> None:
    log = ResultLog(client, "gate", 1000)
    log.append(1, 0, ["a"], {})
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="full"):
        log.append(1, 1, ["b", "c"], {"pts_s": 4.0})
    client.config_set("maxmemory", 0)
    assert log.next_frame() == 1
    assert _status(client).pts_s is None
    assert log.append(1, 1, ["b", "c"], {}) == 3


def test_a_stream_that_lives_in_a_cluster(cluster: Server) -> None:
    client = connect(f"redis+cluster://127.0.0.1:{cluster.port}")
    fence = RedisLease(client, KEYS).acquire()
    assert fence is not None
    log = ResultLog(client, "gate", 1000)
    assert log.append(fence, 0, ["a"], {"pts_s": 0.0}) == 1
    log.set_status(fence, {"state": "running"}, "{}")
    log.settle(fence, ['{"frame":0}'], {})
    assert _status(client).state == "running"
