"""A look costs what has changed, however many streams there are, and misses none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from vocab.connection import RedisClient
from vocab.errors import StoreUnavailable
from workers.contract.changes import announce
from workers.contract.keys import CHANGES, STREAMS
from workers.contract.result_log import ResultLog
from workers.contract.stream_life import StreamLease
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_store import StreamStore
from workers.ingest import directory as directory_module
from workers.ingest.directory import Directory

ALONE = ["one"]


@pytest.fixture
def store(client: RedisClient) -> StreamStore:
    return StreamStore(client)


@pytest.fixture
def directory(client: RedisClient) -> Directory:
    return Directory(client, "one", part_s=3600)


def _looked(directory: Directory, names: list[str] = ALONE, held: tuple[str, ...] = ()) -> list[str]:
    """Ids of the streams that wait to be read, after one look."""
    directory.refresh(names)
    directory.look(held)
    return sorted(one.spec.id for one in directory.unread.waiting)


def _add(store: StreamStore, *names: str) -> None:
    for name in names:
        store.add(StreamSpec(id=name, source="x"))


def test_what_is_there_already_is_found_and_what_comes_and_goes_too(
    directory: Directory, store: StreamStore
) -> None:
    _add(store, "a", "b")
    assert _looked(directory) == ["a", "b"]
    _add(store, "c")
    store.remove("a")
    store.change("b", {"paused": True})
    assert _looked(directory) == ["c"]
    assert [spec.id for spec in directory.unread.to_pause] == ["b"]
    assert sorted(directory.specs) == ["b", "c"]


def test_what_another_reads_does_not_wait_until_it_is_given_up(
    directory: Directory, store: StreamStore, client: RedisClient
) -> None:
    _add(store, "a")
    lease = StreamLease(client, store.get("a"))
    lease.acquire()
    assert _looked(directory) == []
    lease.release()
    assert _looked(directory) == []
    announce(client, ["a"])
    assert _looked(directory) == ["a"]
    lease.acquire()
    assert _looked(directory) == []


def test_what_nobody_announces_is_found_by_whose_part_it_is(client: RedisClient, store: StreamStore) -> None:
    names = [f"cam-{n}" for n in range(40)]
    _add(store, *names)
    leases = [StreamLease(client, store.get(name)) for name in names]
    for lease in leases:
        lease.acquire()
    ours, theirs = (Directory(client, name, part_s=0) for name in ("one", "two"))
    both = ["one", "two"]
    assert _looked(ours, both) == _looked(theirs, both) == []
    for lease in leases:
        lease.release()
    found, rest = _looked(ours, both), _looked(theirs, both)
    assert sorted(found + rest) == sorted(names)
    assert 10 < len(found) < 30
    assert ours.waiting() == len(found)


def test_who_finds_what_was_not_announced_tells_the_others(
    client: Any, store: StreamStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _add(store, "a", "b")
    both = ["one", "two"]
    ours, theirs = (Directory(client, name, part_s=3600) for name in both)
    assert _looked(ours, both) == _looked(theirs, both) == ["a", "b"]
    # As when who added or removed a stream dies before it has told.
    client.hset(STREAMS, "c", StreamSpec(id="c", source="x").model_dump_json())
    client.hdel(STREAMS, "a")
    assert _looked(theirs, both) == ["a", "b"]
    with monkeypatch.context() as patch:
        patch.setattr(directory_module, "_LIST_S", 1e-9)
        # When it is its turn is drawn anew whenever one comes or goes.
        _looked(ours)
        assert _looked(ours) == ["b", "c"]
    assert _looked(theirs, both) == ["b", "c"]
    entries = client.xlen(CHANGES)
    assert _looked(ours) == ["b", "c"]
    assert client.xlen(CHANGES) == entries


def test_when_a_replica_is_gone_its_streams_are_found_at_once(
    directory: Directory, client: RedisClient, store: StreamStore
) -> None:
    _add(store, *(f"cam-{n}" for n in range(10)))
    leases = [StreamLease(client, spec) for spec in store.all().values()]
    for lease in leases:
        lease.acquire()
    assert _looked(directory, ["one", "two"]) == []
    for lease in leases:
        lease.release()
    assert _looked(directory, ["one", "two"]) == []
    assert len(_looked(directory, ["one"])) == 10


def test_a_look_that_fails_is_made_good(
    directory: Directory, store: StreamStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _looked(directory) == []
    _add(store, "a")
    with monkeypatch.context() as patch:
        patch.setattr(StreamStore, "some", _away)
        with pytest.raises(StoreUnavailable):
            _looked(directory)
    assert _looked(directory) == ["a"]


def _away(*_: Any) -> Any:
    raise StoreUnavailable("away")


def test_a_turn_costs_the_same_with_a_thousand_streams_as_with_ten(client: Any, store: StreamStore) -> None:
    costs = []
    for count in (10, 1000):
        for number in range(len(store.all()), count):
            spec = store.add(StreamSpec(id=f"cam-{number}", source="x"))
            StreamLease(client, spec, ttl_s=3600).acquire()
        directory = Directory(client, "one", part_s=3600)
        _looked(directory)
        client.config_resetstat()
        for _ in range(10):
            assert _looked(directory) == []
        calls = {name: stat["calls"] for name, stat in client.info("commandstats").items()}
        calls.pop("cmdstat_config|resetstat", None)
        costs.append(calls)
    assert costs[0] == costs[1]
    assert sum(costs[0].values()) == 20


def test_of_a_stream_that_is_read_only_the_lease_is_looked_at(client: Any, store: StreamStore) -> None:
    _add(store, *(f"cam-{number}" for number in range(50)))
    for spec in list(store.all().values())[1:]:
        StreamLease(client, spec, ttl_s=3600).acquire()
    directory = Directory(client, "one", part_s=0)
    (waiting,) = _looked(directory)
    client.config_resetstat()
    assert _looked(directory) == [waiting]
    calls = client.info("commandstats")
    assert calls["cmdstat_exists"]["calls"] == 50
    assert sum(calls[name]["calls"] for name in calls if name.startswith("cmdstat_h")) == 1


def test_what_a_replica_has_no_room_for_is_passed_on_once_and_not_at_once(
    client: RedisClient, store: StreamStore
) -> None:
    store.add(StreamSpec(id="a", source="x"))
    first = StreamLease(client, store.get("a"))
    fence = first.acquire()
    assert fence is not None
    ResultLog(client, "a", 100).set_status(fence, {"ingest": {"replica": "dead"}})
    ours, theirs = (Directory(client, name, part_s=3600) for name in ("one", "two"))
    both = ["one", "two"]
    assert _looked(ours, both) == _looked(theirs, both) == []
    full, free = (ours, theirs) if ours.is_ours("a") else (theirs, ours)
    first.release()
    # Somebody else came and went: each looks at its part.
    _looked(full, [*both, "zoe"])
    assert _looked(full, both) == ["a"]
    (one,) = full.unread.waiting
    assert one.left
    assert _looked(free, both) == []
    length = client.xlen(CHANGES)
    # It may have room yet.
    full.pass_on(one)
    assert client.xlen(CHANGES) == length
    one = replace(one, since=one.since - 1000)
    full.pass_on(one)
    full.pass_on(one)
    assert client.xlen(CHANGES) == length + 1
    assert _looked(free, both) == ["a"]
