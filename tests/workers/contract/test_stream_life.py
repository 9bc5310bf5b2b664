"""Nothing of a removed stream is left, and none begins with what another of its name wrote."""

from __future__ import annotations

import threading
import time

import pytest

from tests.vocab.servers import Server
from vocab.connection import RedisClient, connect
from workers.contract.fenced import FencedError
from workers.contract.keys import STREAMS, StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_life import StreamLease, begin, end
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import NoStreamError, StreamStore

KEYS = StreamKeys("gate")


def _spec(at: float) -> StreamSpec:
    return StreamSpec(id="gate", source="x", created_at=at)


def _left(client: RedisClient) -> set[bytes]:
    return {key for key in client.keys("vwt:{gate}:*") if client.ttl(key) == -1}


def test_who_saw_a_stream_before_it_was_removed_cannot_claim_it_any_more(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    seen = store.get("gate")
    store.remove("gate")
    assert StreamLease(client, seen).acquire() is None
    assert _left(client) == set()


def test_who_saw_a_stream_cannot_claim_the_next_of_its_name(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    store.remove("gate")
    store.add(_spec(2.0))
    assert StreamLease(client, _spec(1.0)).acquire() is None
    fence = StreamLease(client, _spec(2.0)).acquire()
    assert fence is not None
    assert ResultLog(client, "gate", 100).next_frame() == 0
    assert client.ttl(KEYS.last) == -1


def test_a_stream_begins_empty_whatever_its_name_had_left(client: RedisClient) -> None:
    # By a version that let a claim come after the removal.
    ResultLog(client, "gate", 100).append(7, 0, ["old"], {"state": "running"})
    store = StreamStore(client)
    store.add(_spec(1.0))
    assert ResultLog(client, "gate", 100).next_frame() == 0
    assert store.status("gate").state == "starting"
    fence = StreamLease(client, _spec(1.0)).acquire()
    assert fence is not None
    assert fence > 7


@pytest.mark.parametrize("late", [1.0, 2.0])
def test_who_was_held_up_for_many_generations_cannot_claim_one_that_is_over(
    client: RedisClient, late: float
) -> None:
    store = StreamStore(client)
    for number in (1.0, 2.0, 3.0):
        store.add(_spec(number))
        store.remove("gate")
    assert StreamLease(client, _spec(late)).acquire() is None
    assert _left(client) == set()


@pytest.mark.parametrize("late", [1.0, 2.0])
def test_a_beginning_that_was_held_up_begins_nothing_that_is_over(client: RedisClient, late: float) -> None:
    store = StreamStore(client)
    store.add(_spec(2.0))
    store.remove("gate")
    assert begin(client, _spec(late), {"state": "starting"}) == 2.0
    assert _left(client) == set()


def test_a_beginning_that_was_held_up_leaves_the_next_of_its_name_alone(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(2.0))
    fence = StreamLease(client, _spec(2.0)).acquire()
    assert begin(client, _spec(1.0), {"state": "starting"}) == 2.0
    assert StreamLease(client, _spec(1.0)).acquire() is None
    end(client, _spec(1.0))
    assert ResultLog(client, "gate", 100).append(fence, 0, ["a"], {}) == 1


def test_a_stream_that_is_removed_before_it_begins_never_does(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    store.remove("gate")
    client.hset(STREAMS, "gate", _spec(2.0).model_dump_json())
    store.remove("gate")
    assert begin(client, _spec(2.0), {"state": "starting"}) == 2.0
    assert _left(client) == set()


def test_a_clock_that_is_behind_adds_a_stream_all_the_same(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(time.time()))
    store.remove("gate")
    added = store.add(_spec(1.0))
    assert added == store.get("gate")
    assert StreamLease(client, added).acquire() is not None
    assert store.status("gate").state == "starting"


def test_energies_that_settle_after_the_removal_are_not_kept(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    fence = StreamLease(client, _spec(1.0)).acquire()
    assert fence is not None
    store.remove("gate")
    with pytest.raises(FencedError):
        ResultLog(client, "gate", 100).settle(fence, ['{"frame":0}'], {"joules": 1.0})
    assert _left(client) == set()


def test_a_stream_whose_adding_broke_off_is_claimed_all_the_same(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    store.remove("gate")
    client.hset(STREAMS, "gate", _spec(2.0).model_dump_json())
    assert StreamLease(client, _spec(2.0)).acquire() is not None
    assert client.ttl(KEYS.last) == -1


def test_a_stream_whose_removal_broke_off_can_be_removed_again(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(_spec(1.0))
    text = client.hget(STREAMS, "gate")
    store.remove("gate")
    client.hset(STREAMS, "gate", text)
    assert StreamLease(client, _spec(1.0)).acquire() is None
    store.remove("gate")
    assert store.all() == {}


def test_a_stream_of_before_generations_goes_on(client: RedisClient) -> None:
    client.hset(STREAMS, "gate", _spec(1.0).model_dump_json())
    log = ResultLog(client, "gate", 100)
    log.append(7, 0, ["a", "b"], {})
    fence = StreamLease(client, _spec(1.0)).acquire()
    assert fence is not None
    assert log.next_frame() == 2
    assert log.append(fence, 2, ["c"], {}) == 3


def test_a_thousand_streams_of_one_name_come_and_go_while_others_claim_them(client: RedisClient) -> None:
    done = threading.Event()
    claimed: list[int] = []

    def claim() -> None:
        store = StreamStore(client)
        while not done.is_set():
            for spec in store.all().values():
                fence = StreamLease(client, spec).acquire()
                if fence is not None:
                    claimed.append(fence)
                    log = ResultLog(client, spec.id, 100)
                    try:
                        log.append(fence, log.next_frame(), [str(spec.created_at)], {"state": "running"})
                    except FencedError:
                        continue

    threads = [threading.Thread(target=claim) for _ in range(3)]
    for thread in threads:
        thread.start()
    store = StreamStore(client)
    kept = []
    for number in range(1000):
        store.add(_spec(float(number)))
        others = {entry[b"result"].decode() for _, entry in client.xrange(KEYS.results)}
        kept += [other for other in others if float(other) != number]
        store.remove("gate")
    done.set()
    for thread in threads:
        thread.join(20)
    assert kept == []
    assert _left(client) == set()
    assert claimed


def test_a_cluster_keeps_the_same_order(cluster: Server) -> None:
    client = connect(f"redis+cluster://127.0.0.1:{cluster.port}")
    store = StreamStore(client)
    store.add(_spec(time.time()))
    spec = store.get("gate")
    assert StreamLease(client, spec).acquire() is not None
    store.remove("gate")
    assert StreamLease(client, spec).acquire() is None
    with pytest.raises(NoStreamError):
        store.remove("gate")
