"""Who is alive is told to all of them, and its names to those only that do not have them yet."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from vocab.connection import RedisClient
from vocab.scripts import run_script
from workers.contract.changes import Changes, announce
from workers.contract.keys import LOADS, REPLICAS
from workers.contract.peers import Alive, Peers

# What a replica does that is still of the version before, while the others are replaced.
BEFORE = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms - ARGV[3])
redis.call('ZADD', KEYS[1], now_ms, ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local names = redis.call('ZRANGE', KEYS[1], 0, -1)
local loads = redis.call('HMGET', KEYS[2], unpack(names))
if redis.call('HLEN', KEYS[2]) > #names then
    redis.call('DEL', KEYS[2])
    for i, name in ipairs(names) do if loads[i] then redis.call('HSET', KEYS[2], name, loads[i]) end end
end
return {names, loads}
"""


def _sent(client: Any, act: Callable[[], object]) -> int:
    """Bytes that Redis sends for a hundred of these, and for being asked."""
    before = client.info("stats")["total_net_output_bytes"]
    for _ in range(100):
        act()
    sent: int = client.info("stats")["total_net_output_bytes"] - before
    return sent


@pytest.mark.parametrize("seed", range(5))
def test_names_and_sum_are_right_whoever_comes_goes_or_is_of_an_older_version(
    client: RedisClient, seed: int
) -> None:
    rng = random.Random(seed)
    peers = {name: Peers(client, name, 60) for name in "abcdef"}
    alive: dict[str, int] = {}
    for _ in range(200):
        name, load = rng.choice(list(peers)), rng.randrange(100)
        does = rng.choice(["look", "look", "look", "leave", "before"] if seed else ["look"])
        if does == "leave":
            peers[name].leave()
            alive.pop(name, None)
            continue
        alive[name] = load
        if does == "look":
            assert peers[name].look(load) == Alive(sorted(alive), sum(alive.values()))
        else:
            names, loads = run_script(client, BEFORE, [REPLICAS, LOADS], [name, load, 60_000])
            assert {key.decode(): int(value) for key, value in zip(names, loads, strict=True)} == alive


def test_a_server_that_lost_its_data_names_anew_who_is_there(client: Any) -> None:
    one, two = Peers(client, "one", 60), Peers(client, "two", 60)
    one.look(1)
    two.look(1)
    assert one.look(1).names == ["one", "two"]
    client.flushall()
    assert one.look(1) == Alive(["one"], 1)
    assert two.look(2) == one.look(1) == Alive(["one", "two"], 3)


def test_a_look_sends_as_much_with_two_hundred_replicas_as_with_two(client: Any) -> None:
    one = Peers(client, "one", 60)
    sent = []
    for count in (1, 199):
        for number in range(count):
            Peers(client, f"replica-{number}", 60).look(7)
        assert one.look(7) == Alive(sorted(["one", *(f"replica-{n}" for n in range(count))]), 7 * count + 7)
        sent.append(_sent(client, lambda: one.look(7)))
    assert sent[1] < 1.1 * sent[0]


def test_what_was_heard_is_not_sent_again(client: Any) -> None:
    sent = []
    for streams in (["gate"], [f"cam-{number}" for number in range(1000)]):
        changes = Changes(client)
        changes.read()
        announce(client, streams)
        assert changes.read() == set(streams)
        sent.append(_sent(client, changes.read))
    assert sent[1] < 1.1 * sent[0]
