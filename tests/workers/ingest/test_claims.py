"""How many streams a replica takes when, and which it gives away."""

from __future__ import annotations

import time

import pytest

from tests.vocab.servers import Server, eventually
from vocab.connection import RedisClient, connect
from workers.contract.keys import LOADS, REPLICAS
from workers.contract.peers import Alive, Peers
from workers.contract.stream_spec import StreamSpec
from workers.ingest.claims import Claims, Load
from workers.ingest.unread import Waiting
from workers.settings.schema import IngestSettings

SETTINGS = IngestSettings(cores_per_replica=0.8, max_streams_per_replica=100, lease_s=5.0)
# So that eight fit.
EACH = 0.1


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def claims(clock: Clock) -> Claims:
    return Claims(SETTINGS, clock)


def _waiting(since: float, left: bool) -> Waiting:
    return Waiting(StreamSpec(id="cam", source="x"), since, left)


def test_what_a_dead_replica_left_is_taken_at_once_by_survivors_that_have_their_target(
    claims: Claims,
) -> None:
    claims.look(120, 2, EACH)
    assert claims.limit(_waiting(since=1000.0, left=True)) == 60
    claims.look(120, 1, EACH)
    assert claims.limit(_waiting(since=1000.0, left=True)) == 100


def test_what_is_new_waits_for_a_replica_that_is_started_for_it_but_not_for_ever(
    claims: Claims, clock: Clock
) -> None:
    claims.look(120, 2, EACH)
    new = _waiting(since=1000.0, left=False)
    assert claims.limit(new) == 8
    clock.now += 10.1
    assert claims.limit(new) == 100


@pytest.mark.parametrize(("each", "taken"), [(0.045, 17), (0.0125, 64), (0.001, 64), (0.3, 2), (3.0, 1)])
def test_new_streams_are_taken_as_far_as_the_cpu_goes_that_they_are_measured_to_take(
    claims: Claims, each: float, taken: int
) -> None:
    claims.look(500, 2, each)
    assert claims.limit(_waiting(since=1000.0, left=False)) == taken


def test_a_replica_that_has_more_than_its_cpu_is_for_gives_some_to_one_that_has_come(claims: Claims) -> None:
    claims.look(60, 2, 0.045)
    assert claims.load == Load(fair=30, most=37)
    # As long as they take little, it is no reason to move any.
    claims.look(60, 2, 0.01)
    assert claims.load == Load(fair=30, most=64)


def test_no_more_than_twenty_are_taken_within_a_second(claims: Claims, clock: Clock) -> None:
    for _ in range(20):
        assert not claims.too_fast
        claims.took()
        clock.now += 0.01
    assert claims.too_fast
    clock.now += 0.805
    assert not claims.too_fast
    claims.took()
    assert claims.too_fast


@pytest.mark.parametrize(
    ("streams", "replicas", "fair", "most"),
    [(0, 1, 0, 8), (9, 1, 9, 11), (120, 2, 60, 75), (120, 3, 40, 50), (20, 2, 10, 12), (10, 3, 4, 8)],
)
def test_streams_are_moved_only_off_a_replica_that_is_a_quarter_above_the_mean(
    streams: int, replicas: int, fair: int, most: int
) -> None:
    assert Load.of(streams, replicas, target=8) == Load(fair, most)


def test_replicas_are_known_until_they_leave_or_say_nothing_for_as_long_as_a_lease(
    server: Server, client: RedisClient
) -> None:
    one, two = Peers(client, "one", 60), Peers(connect(server.url), "two", 60)
    assert one.look(3) == Alive(["one"], 3)
    assert two.look(4) == one.look(3) == Alive(["one", "two"], 7)
    two.leave()
    assert one.look(5) == Alive(["one"], 5)
    assert client.hmget(LOADS, "one", "two") == [b"5", None]
    client.zadd(REPLICAS, {"dead": int(time.time() * 1000) - 61_000})
    client.hset(LOADS, "dead", 100)
    assert one.look(5) == Alive(["one"], 5)
    brief = Peers(client, "brief", 0.05)
    brief.look(0)
    eventually(lambda: not client.exists(REPLICAS, LOADS))


def test_a_full_server_knows_them_too(client: RedisClient) -> None:
    client.config_set("maxmemory", "1")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(Exception, match="maxmemory"):
        client.set("more", "x")
    assert Peers(client, "one", 60).look(2) == Alive(["one"], 2)
