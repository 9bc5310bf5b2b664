import asyncio
import threading

import numpy as np
import pytest
from ray.exceptions import RayTaskError

from pipeline.errors import ServiceError, UsageError
from pipeline.frame import FrameTimes, Geometry
from tests.vocab.servers import eventually
from vocab.errors import StoreUnavailable
from workers.contract.fenced import FencedError
from workers.contract.messages import FrameBatch, FrameFacts, TokenSettings
from workers.contract.result_log import OutOfOrderError, ResultLog
from workers.ingest.sender import RewindError, Sender, Stopped

GEOMETRY = Geometry(2, 2, 2, 2, 1.0, 1.0, 0.0, 0.0)
SETTINGS = TokenSettings("any", "full", {}, "cam/any")


def batch(first: int, frames: int = 4, fence: int = 1) -> FrameBatch:
    facts = [FrameFacts(FrameTimes(pts_s=float(first + n)), GEOMETRY, 0.0) for n in range(frames)]
    return FrameBatch("cam", fence, first, np.zeros((frames, 2, 2, 3), np.uint8), facts, SETTINGS)


@pytest.fixture
def log(client):
    return ResultLog(client, "cam", 10_000)


@pytest.fixture
def stopped():
    return threading.Event()


@pytest.fixture
def sender(log, inference, stopped):
    return Sender(lambda b: inference.infer("cam", b), log, 2, stopped, lambda _: None)


def frames(client) -> list[int]:
    return [int(entry.partition(b"-")[0]) - 1 for entry, _ in client.xrange("vwt:{cam}:results")]


def test_batches_arrive_in_order_and_no_more_than_allowed_are_under_way(sender, inference, client):
    for first in range(0, 40, 4):
        sender.send(batch(first))
    sender.drain()
    assert [sent.first for sent in inference.calls] == list(range(0, 40, 4))
    assert frames(client) == list(range(40))
    assert inference.most == 2
    assert sender.progressed


def test_a_full_window_holds_the_reader_back(sender, inference):
    sender.send(batch(0))
    sender.drain()
    assert inference.called.acquire(timeout=60)
    inference.hold()
    sender.send(batch(4))
    sender.send(batch(8))
    third = threading.Thread(target=sender.send, args=(batch(12),))
    third.start()
    assert inference.called.acquire(timeout=60)
    assert inference.called.acquire(timeout=60)
    assert not inference.called.acquire(timeout=0.3)
    inference.release()
    third.join(30)
    assert inference.called.acquire(timeout=60)
    sender.drain()


def test_a_batch_waits_for_those_that_another_replica_has(log, inference, stopped, client):
    replica = ["a"]
    sender = Sender(
        lambda b: inference.infer("cam", b), log, 2, stopped, lambda _: None, replica=lambda: replica[0]
    )
    sender.send(batch(0))
    sender.drain()
    assert inference.called.acquire(timeout=60)
    inference.hold()
    sender.send(batch(4))
    assert inference.called.acquire(timeout=60)
    replica[0] = "b"
    moved = threading.Thread(target=sender.send, args=(batch(8),))
    moved.start()
    assert not inference.called.acquire(timeout=0.3)
    inference.release()
    moved.join(60)
    assert inference.called.acquire(timeout=60)
    sender.drain()
    assert [sent.first for sent in inference.calls] == [0, 4, 8]
    assert frames(client) == list(range(12))


def test_the_first_batch_goes_alone(sender, inference):
    inference.hold()
    sender.send(batch(0))
    second = threading.Thread(target=sender.send, args=(batch(4),))
    second.start()
    assert inference.called.acquire(timeout=60)
    assert not inference.called.acquire(timeout=0.3)
    inference.release()
    second.join(30)
    assert inference.called.acquire(timeout=60)
    sender.drain()


def test_when_all_was_lost_the_first_is_durable_before_the_next_is_sent(sender, inference, client):
    sender.send(batch(0))
    sender.drain()
    client.flushall()
    # Both under way fail, and then the first fails again: the second must not become the log's first.
    inference.failures += [RuntimeError("lost"), RuntimeError("lost"), RuntimeError("lost")]
    sender.send(batch(4))
    sender.send(batch(8))
    sender.drain()
    assert frames(client) == list(range(4, 12))


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("the replica died"),
        StoreUnavailable("Redis is away"),
        OutOfOrderError("results are missing"),
        RayTaskError("infer", "", TimeoutError("the device is stuck")).as_instanceof_cause(),
        RayTaskError("infer", "", StoreUnavailable("Redis is away")).as_instanceof_cause(),
        asyncio.CancelledError(),
    ],
    ids=["died", "redis", "order", "timeout", "wrapped", "cancelled"],
)
def test_what_failed_is_sent_again_with_all_after_it(sender, inference, client, failure):
    inference.failures += [None, failure]
    for first in range(0, 24, 4):
        sender.send(batch(first))
    sender.drain()
    assert frames(client) == list(range(24))


def test_what_became_durable_though_its_answer_was_lost_is_not_sent_again(sender, inference, client, log):
    log.append(1, 0, ["{}"] * 4, {})
    inference.failures += [RuntimeError("lost on the way back")]
    sender.send(batch(0))
    sender.send(batch(4))
    sender.drain()
    assert [sent.first for sent in inference.calls] == [0, 4] or [s.first for s in inference.calls] == [
        0,
        4,
        4,
    ]
    assert frames(client) == list(range(8))


def test_a_call_that_cannot_even_be_made_is_made_again(log, inference, stopped, client):
    refusals = [RuntimeError("the queue is full")]

    def infer(sent):
        if refusals:
            raise refusals.pop()
        return inference.infer("cam", sent)

    sender = Sender(infer, log, 2, stopped, lambda _: None)
    sender.send(batch(0))
    sender.drain()
    assert frames(client) == [0, 1, 2, 3]


def test_while_redis_is_away_it_is_waited_for(sender, inference, server, client):
    sender.send(batch(0))
    sender.drain()
    server.kill()
    sender.send(batch(4))
    draining = threading.Thread(target=sender.drain)
    draining.start()
    assert inference.called.acquire(timeout=60)
    server.start()
    draining.join(60)
    assert not draining.is_alive()
    # The numbers go on though the data is gone.
    assert frames(client) == [4, 5, 6, 7]


def test_lost_results_before_those_at_hand_mean_to_read_again(sender, inference, log):
    log.append(1, 0, ["{}"] * 2, {})
    inference.failures += [RuntimeError("failed over")]
    sender.send(batch(8))
    with pytest.raises(RewindError):
        sender.drain()


def test_who_was_fenced_gives_up_without_a_newer_fence(sender, log, client):
    log.set_status(5, {})
    sender.send(batch(0, fence=4))
    with pytest.raises(FencedError):
        sender.drain()
    assert frames(client) == []


def test_with_a_newer_fence_refused_batches_are_sent_again(log, inference, stopped, client):
    log.set_status(5, {})
    sender = Sender(lambda b: inference.infer("cam", b), log, 2, stopped, lambda _: 5)
    sender.send(batch(0, fence=4))
    sender.send(batch(4, fence=5))
    sender.drain()
    assert frames(client) == list(range(8))


@pytest.mark.parametrize("failure", [UsageError("the model has no patches"), UsageError("no such scope")])
def test_what_can_never_work_is_said_at_once(sender, inference, failure):
    inference.failures += [failure]
    sender.send(batch(0))
    with pytest.raises(UsageError, match=str(failure)):
        sender.drain()


def test_without_any_result_for_long_it_fails_with_the_last_reason(sender, inference, monkeypatch):
    monkeypatch.setattr("workers.ingest.sender._GIVE_UP_S", 0.0)
    inference.failures += [RuntimeError("out of memory")] * 50
    sender.send(batch(0))
    with pytest.raises(ServiceError, match="out of memory"):
        sender.drain()


def test_stopping_ends_every_wait(sender, inference, stopped):
    inference.hold()
    sender.send(batch(0))
    ended = []

    def drain():
        with pytest.raises(Stopped):
            sender.drain()
        ended.append(True)

    draining = threading.Thread(target=drain)
    draining.start()
    stopped.set()
    draining.join(10)
    eventually(lambda: ended)
