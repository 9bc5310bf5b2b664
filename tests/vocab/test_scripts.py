"""Scripts go by their digest to servers that know them, and whole to those that do not."""

from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from vocab.connection import RedisClient, connect
from vocab.scripts import run_for_each, run_script

_ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"


def calls(client: RedisClient, command: str) -> int:
    return client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0)


def test_a_script_goes_whole_once_and_then_by_its_digest(client: RedisClient) -> None:
    assert [run_script(client, _ADD, ["a"], [2]) for _ in range(5)] == [2, 4, 6, 8, 10]
    assert (calls(client, "eval"), calls(client, "evalsha")) == (1, 5)


def test_a_server_that_has_lost_its_scripts_gets_it_anew(client: RedisClient) -> None:
    run_script(client, _ADD, ["a"], [1])
    client.script_flush()
    assert run_script(client, _ADD, ["a"], [1]) == 2
    assert run_for_each(client, _ADD, [(["a"], [1]), (["b"], [5])]) == [3, 5]
    client.script_flush()
    assert run_for_each(client, _ADD, [(["a"], [1]), (["b"], [5])]) == [4, 10]


def test_of_many_calls_what_one_ends_with_is_raised(client: RedisClient) -> None:
    client.set("text", "x")
    with pytest.raises(ResponseError, match="not an integer"):
        run_for_each(client, _ADD, [(["text"], [1]), (["a"], [1])])
    assert client.get("a") == b"1"
    assert run_for_each(client, _ADD, []) == []


def test_a_cluster_runs_them_too(cluster) -> None:
    client = connect(cluster.url.replace("redis://", "redis+cluster://"))
    assert run_for_each(client, _ADD, [(["a"], [1]), (["b"], [1])]) == [1, 1]
    client.script_flush()
    assert run_script(client, _ADD, ["a"], [1]) == 2
