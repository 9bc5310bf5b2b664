"""Keepers over a real server, with windows as streams write them."""

import threading
from collections import Counter

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.fit import Inputs
from pipeline.input_spec import InputSpec
from tests.vocab.servers import eventually
from tests.workers.telemetry.recorded import told
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from workers.contract.keys import StreamKeys
from workers.contract.messages import ModelFacts
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import to_fields
from workers.contract.stream_store import StreamStore
from workers.keeper.keepers import Keepers
from workers.keeper.scopes import Scopes, Wanted, owner
from workers.settings.schema import KeeperSettings
from workers.telemetry.metrics import KEEPER_FAILED, LEARN, MATCHED, PUBLISHED

__all__ = ["told"]
P = 8


def facts(_model: str) -> ModelFacts:
    return ModelFacts(Inputs(InputSpec(64, 64), P), ("full", "inter"))


@pytest.fixture
def server():
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture
def client(server):
    return connect(server.url)


@pytest.fixture
def streams(client):
    return StreamStore(client)


@pytest.fixture
def keepers(server):
    """Makes keepers, and stops them at the end."""
    made = []

    def make(describe=facts, say=lambda _text: None) -> Keepers:
        made.append(Keepers(server.url, KeeperSettings(), describe, say))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def add(streams: StreamStore, name: str, state: str = "running", used: str = "inter", **given) -> StreamSpec:
    spec = StreamSpec(id=name, source="camera:0", words=16, model="m", **given)
    streams.add(spec)
    streams._client.hset(StreamKeys(name).state, mapping=to_fields({"state": state, "tokenizer": used}))
    return spec


def fill(client, scope: str, patches: int = 2048) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (patches, 3 * P * P), np.uint8)
    RedisWindow(client, scope, P).add(pixels)


def scopes(keepers: Keepers) -> dict[str, str]:
    return {one["scope"]: one["state"] for one in keepers.scopes()}


def test_the_scopes_of_running_inter_streams_are_wanted_and_no_others(streams, client):
    add(streams, "gate")
    add(streams, "lobby", "reconnecting", scope="shared")
    add(streams, "roof", "ended")
    add(streams, "yard", "failed")
    add(streams, "hall", tokenizer="intra", used="intra")
    add(streams, "attic", used="full")
    add(streams, "door", paused=True)

    assert {one.scope for one in Scopes(client, "only", 60).look(0)} == {"gate/m", "shared"}


def test_of_streams_that_share_a_scope_the_oldest_decides(streams, client):
    add(streams, "young", scope="shared", created_at=2, threshold=0.2)
    add(streams, "old", scope="shared", created_at=1, threshold=0.1)

    assert Scopes(client, "only", 60).look(0) == {Wanted("shared", "m", 16, 0.1)}


def test_words_are_learned_from_a_streams_window_and_published(streams, client, keepers):
    said = []
    add(streams, "gate")
    fill(client, "gate/m")

    keepers(say=said.append).step()

    store = RedisStore(client, "gate/m", P)
    assert len(store.load(store.current())) == 16
    assert any("gate/m: words version 1 (16 words; first words)" in text for text in said)


def test_learning_and_what_failed_are_counted(streams, client, keepers, told):
    def values(metric):
        return [value for name, value, _ in told if name == metric.name]

    add(streams, "gate")
    fill(client, "gate/m")
    ours = keepers()
    ours.step()
    assert values(PUBLISHED) == [1]
    assert [seconds > 0 for seconds in values(LEARN)] == [True]

    for entry in ours._kept.values():
        entry.due_s = 0.0
    ours.step()
    (share,) = values(MATCHED)
    assert 0 <= share <= 1
    assert not values(KEEPER_FAILED)

    client.set(RedisWindow(client, "gate/m", P)._key, "no window")
    for entry in ours._kept.values():
        entry.due_s = 0.0
    ours.step()
    assert values(KEEPER_FAILED) == [1]


def test_a_window_with_too_few_patches_is_waited_for(streams, client, keepers):
    add(streams, "gate")
    fill(client, "gate/m", 100)
    one = keepers()

    one.step()

    assert scopes(one) == {"gate/m": "filling"}
    assert RedisStore(client, "gate/m", P).current() is None


def test_a_scope_whose_streams_went_is_let_go_with_its_lease(streams, client, keepers):
    add(streams, "gate")
    one = keepers()
    one.step()
    assert RedisLease(client, "gate/m").acquire() is None

    streams.remove("gate")
    one.step()

    assert scopes(one) == {}
    assert RedisLease(client, "gate/m").acquire() is not None


def test_replicas_share_the_scopes_and_one_takes_over_those_of_another_that_stops(streams, keepers):
    for number in range(12):
        add(streams, f"cam-{number}")
    first, second = keepers(), keepers()
    for one in (first, second, first, second, first):
        one.step()
    assert 0 < len(scopes(first)) < 12
    assert scopes(first).keys() | scopes(second).keys() == {f"cam-{number}/m" for number in range(12)}
    assert not scopes(first).keys() & scopes(second).keys()

    first.stop()
    second.start()

    eventually(lambda: list(scopes(second).values()) == ["filling"] * 12)


def test_when_a_replica_comes_or_goes_no_other_scopes_move():
    names = [f"keeper-{number}" for number in range(5)]
    before = {f"cam-{number}/m": owner(f"cam-{number}/m", names) for number in range(1000)}
    after = {scope: owner(scope, names[1:]) for scope in before}

    assert {before[scope] for scope in before if before[scope] != after[scope]} == {"keeper-0"}
    assert max(Counter(before.values()).values()) < 1.2 * 200


def test_a_look_at_many_streams_costs_what_has_changed(streams, client):
    for number in range(40):
        add(streams, f"hall-{number}", tokenizer="full", used="full")
    add(streams, "gate")
    ours = Scopes(client, "only", 60)
    ours.look(0)

    before = client.info("stats")["total_commands_processed"]
    assert {one.scope for one in ours.look(1)} == {"gate/m"}
    assert client.info("stats")["total_commands_processed"] - before < 20

    add(streams, "dock")
    assert {one.scope for one in ours.look(1)} == {"gate/m", "dock/m"}


def test_a_change_of_words_makes_another_keeper(streams, keepers):
    add(streams, "gate")
    one = keepers()
    one.step()

    streams.change("gate", {"words": 32})
    one.step()

    assert [(entry["scope"], entry["words"]) for entry in one.scopes()] == [("gate/m", 32)]


def test_a_model_that_cannot_be_had_is_said_once_and_asked_for_again(streams, keepers):
    said, known = [], False

    def describe(model: str) -> ModelFacts:
        if not known:
            raise ModelError("there is no such model")
        return facts(model)

    add(streams, "gate")
    one = keepers(describe, said.append)
    one.step()
    one.step()
    assert said == ["gate/m: no words can be learned: there is no such model"]

    known = True
    one.step()
    assert scopes(one) == {"gate/m": "filling"}


def test_a_model_without_patches_is_left_alone(streams, keepers):
    add(streams, "gate")
    one = keepers(lambda _: ModelFacts(Inputs(InputSpec(64, 64)), ("full",)))

    one.step()

    assert scopes(one) == {}


def test_what_breaks_one_scope_leaves_the_others_at_work(streams, client, keepers):
    said = []
    add(streams, "broken")
    add(streams, "gate")
    client.set("vwt:{broken/m}:window", "not a stream")
    fill(client, "gate/m")

    keepers(say=said.append).step()

    assert RedisStore(client, "gate/m", P).current() == 1
    assert any("broken/m" in text for text in said)


def test_they_wait_for_a_redis_that_is_away_and_go_on_when_it_is_back(tmp_path):
    said = []
    with EmbeddedRedis(folder=tmp_path) as server:
        add(StreamStore(connect(server.url)), "gate")
    one = Keepers(server.url, KeeperSettings(), facts, said.append)

    one.step()
    one.step()
    assert len(said) == 1
    assert "scopes stay as they are" in said[0]

    server.start()
    one.step()
    assert scopes(one) == {"gate/m": "filling"}
    one.stop()
    server.stop()


def test_stopping_ends_a_learning_under_way(streams, client, keepers):
    began = threading.Event()

    def describe(model: str) -> ModelFacts:
        began.set()
        return facts(model)

    add(streams, "gate")
    streams.change("gate", {"words": 8000})
    fill(client, "gate/m", 16_000)
    one = keepers(describe)
    one.start()
    assert began.wait(20)
    eventually(lambda: "gate/m" in scopes(one))

    one.stop()

    assert scopes(one) == {}
    assert RedisStore(client, "gate/m", P).current() is None


def test_windows_that_stand_still_are_not_read_again(streams, client, keepers):
    for number in range(8):
        add(streams, f"cam-{number}")
        fill(client, f"cam-{number}/m")
    one = keepers()

    def read() -> int:
        before = int(client.info("stats")["total_net_output_bytes"])
        for entry in one._kept.values():
            entry.due_s = 0.0
        one.step()
        return int(client.info("stats")["total_net_output_bytes"]) - before

    one.step()
    eventually(lambda: read() and set(scopes(one).values()) == {"keeping"})
    read()
    assert read() < 2048 * 3 * P * P / 16
