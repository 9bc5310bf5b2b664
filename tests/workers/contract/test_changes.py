"""Who reads streams hears of each change once, and knows when it may have missed some."""

from __future__ import annotations

import pytest

from vocab.connection import RedisClient
from workers.contract import changes
from workers.contract.changes import Changes, announce
from workers.contract.keys import CHANGES
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore


def test_first_any_stream_may_have_changed_then_those_that_did_once_each(client: RedisClient) -> None:
    announce(client, ["old"])
    reader = Changes(client)
    assert reader.read() is None
    assert reader.read() == set()
    announce(client, ["a", "b"])
    announce(client, ["c"])
    assert reader.read() == {"a", "b", "c"}
    assert reader.read() == set()


def test_the_first_change_of_all_is_heard(client: RedisClient) -> None:
    reader = Changes(client)
    assert reader.read() is None
    announce(client, ["a"])
    assert reader.read() == {"a"}


def test_adding_changing_and_removing_a_stream_is_announced(client: RedisClient) -> None:
    store, reader = StreamStore(client), Changes(client)
    reader.read()
    store.add(StreamSpec(id="gate", source="x"))
    assert reader.read() == {"gate"}
    store.change("gate", {"paused": True})
    assert reader.read() == {"gate"}
    store.remove("gate")
    assert reader.read() == {"gate"}


def test_who_missed_some_is_told_that_any_may_have_changed(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Changes(client)
    announce(client, ["a"])
    reader.read()
    monkeypatch.setattr(changes, "_KEPT", 100)
    for _ in range(500):
        announce(client, ["b"])
    assert client.xlen(CHANGES) < 300
    assert reader.read() is None
    assert reader.read() == set()


def test_a_server_that_lost_its_data_may_have_changed_in_any_way(client: RedisClient) -> None:
    reader = Changes(client)
    announce(client, ["a"])
    reader.read()
    client.flushall()
    assert reader.read() is None
    announce(client, ["a"])
    assert reader.read() == {"a"}


def test_a_full_server_announces_too(client: RedisClient) -> None:
    client.config_set("maxmemory", "1")
    client.config_set("maxmemory-policy", "noeviction")
    with pytest.raises(Exception, match="maxmemory"):
        client.set("more", "x")
    announce(client, ["a"])
    assert client.xlen(CHANGES) == 1
