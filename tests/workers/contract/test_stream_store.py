from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from tests.vocab.servers import Server
from vocab.connection import RedisClient, connect
from vocab.errors import StoreUnavailable
from vocab.redis_lease import RedisLease
from workers.contract.cursor import Cursor
from workers.contract.fenced import FencedError
from workers.contract.keys import STREAMS, StreamKeys
from workers.contract.result_log import ResultLog
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import StreamStatus
from workers.contract.stream_store import NoStreamError, StreamExistsError, StreamStore

GATE = StreamSpec(id="gate", source="rtsp://user:secret@camera/live")


def test_a_stream_is_there_until_it_is_removed(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(GATE)
    assert store.get("gate") == GATE
    assert store.all() == {"gate": GATE}
    assert store.status("gate").state == "starting"
    store.remove("gate")
    assert store.all() == {}
    with pytest.raises(NoStreamError, match="gate"):
        store.get("gate")
    with pytest.raises(NoStreamError):
        store.remove("gate")


def test_a_name_is_given_once(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(GATE)
    with pytest.raises(StreamExistsError, match="gate"):
        store.add(GATE)


def test_streams_of_one_name_added_at_once_get_ids_of_their_own(client: RedisClient) -> None:
    together = threading.Barrier(6, timeout=20)

    def add(_: int) -> str:
        store = StreamStore(client)
        together.wait()
        return store.add_named("gate", {"source": "x"}).id

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(add, range(6))) == ["gate", *(f"gate-{number}" for number in range(2, 7))]


@pytest.mark.parametrize(
    ("name", "second"), [("a" * 64, "a" * 62 + "-2"), ("a" * 61 + "-bc", "a" * 61 + "-2")]
)
def test_an_id_that_a_number_makes_too_long_is_cut(client: RedisClient, name: str, second: str) -> None:
    store = StreamStore(client)
    assert [store.add_named(name, {"source": "x"}).id for _ in range(2)] == [name, second]


def test_a_change_counts_the_revision_and_keeps_the_rest(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(GATE)
    changed = store.change("gate", {"fps": 2.0})
    assert (changed.fps, changed.revision, changed.source) == (2.0, 1, GATE.source)
    assert store.get("gate") == changed
    with pytest.raises(ValidationError):
        store.change("gate", {"threshold": 7})
    assert store.get("gate") == changed
    with pytest.raises(NoStreamError):
        store.change("other", {"fps": 1.0})


def test_a_spec_of_an_earlier_version_can_be_changed(client: RedisClient) -> None:
    client.hset(STREAMS, "gate", '{"id": "gate", "source": "x"}')
    assert StreamStore(client).change("gate", {"fps": 2.0}).fps == 2.0
    assert StreamStore(client).get("gate").fps == 2.0


def test_who_ran_a_removed_stream_can_write_nothing_more(client: RedisClient) -> None:
    store, keys = StreamStore(client), StreamKeys("gate")
    store.add(GATE)
    fence = RedisLease(client, keys).acquire()
    assert fence is not None
    log = ResultLog(client, "gate", 100)
    log.append(fence, 0, ["a"], {})
    store.remove("gate")
    with pytest.raises(FencedError):
        log.append(fence, 1, ["b"], {})
    assert client.keys("vwt:{gate}:*") == [keys.last.encode()]
    assert not client.exists(STREAMS)
    store.add(GATE)
    again = RedisLease(client, keys).acquire()
    assert again is not None
    assert again > fence
    assert log.append(again, 0, ["anew"], {}) == 1


def test_what_is_no_spec_is_left_out(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(GATE)
    client.hset(STREAMS, mapping={"bad": "{", "worse": '{"id":"worse","source":"x","fps":-1}'})
    assert list(store.all()) == ["gate"]


def test_an_epoch_is_new_in_an_empty_redis_and_after_data_loss(client: RedisClient) -> None:
    store = StreamStore(client)
    first, fresh = store.epoch()
    assert fresh
    assert store.epoch() == (first, False)
    client.flushall()
    second, fresh = store.epoch()
    assert fresh
    assert second != first


def test_the_states_of_many_come_in_order(client: RedisClient) -> None:
    store = StreamStore(client)
    store.add(GATE)
    ResultLog(client, "yard", 100).set_status(1, {"state": "failed"})
    assert [status.state for status in store.statuses(["yard", "gate"])] == ["failed", "starting"]


def test_a_damaged_status_gives_defaults() -> None:
    status = StreamStatus.from_hash({b"state": b'"flying"', b"next_frame": b"12", b"width": b"{", b"x": b"1"})
    assert status == StreamStatus(next_frame=12)


def test_a_redis_that_is_away_is_said(server: Server) -> None:
    store = StreamStore(connect(server.url))
    server.kill()
    with pytest.raises(StoreUnavailable, match="cannot list the streams"):
        store.all()


def test_a_spec_never_shows_its_credentials() -> None:
    assert "secret" not in repr(GATE)
    assert GATE.display == "rtsp://***@camera/live"


@pytest.mark.parametrize("stream", ["", "a b", "{x}", "A", "-a", "a-", "x" * 65])
def test_an_id_that_cannot_be_a_key_is_refused(stream: str) -> None:
    with pytest.raises(ValidationError):
        StreamSpec(id=stream, source="x")


def test_a_cursor_survives_its_text() -> None:
    cursor = Cursor(12, "1700000000000-3", "5-0").with_result("13-0")
    assert Cursor.parse(str(cursor)) == cursor
    assert cursor.results == "13-0"
    assert Cursor.parse("7") == Cursor(7)


@pytest.mark.parametrize("text", ["", "x", "-1", "1.2", "1.2-3", "1.2-3.4", "9" * 19])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a cursor is"):
        Cursor.parse(text)
