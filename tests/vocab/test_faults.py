"""What may go wrong between a worker and its server. Every fault is a real one, made with a real server."""

import multiprocessing
import random
import threading
import time

import numpy as np
import pytest
import torch

from tests.vocab import publisher
from tests.vocab.servers import eventually
from vocab.connection import connect
from vocab.coverage import Coverage
from vocab.errors import StoreUnavailable, VocabularyError
from vocab.keys import ScopeKeys
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.window import WindowOptions
from vocab.words import Normalisation, Vocabulary

SCALE = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
KEYS = ScopeKeys("cam")
COVERAGE = Coverage(1.0, 0.0, np.array([1]))


def words(seed: int = 0, patch_size: int = 4, version: int = 0) -> Vocabulary:
    generator = torch.Generator().manual_seed(seed)
    # As Redis keeps them.
    pixels = torch.rand(6, 3 * patch_size**2, generator=generator).half()
    return Vocabulary(pixels, version, SCALE)


class Worker:
    """A window, a store and a lease on one connection, with all that can be asked of them."""

    def __init__(self, url: str) -> None:
        self.client = connect(url)
        self.window = RedisWindow(self.client, "cam", 4, WindowOptions(patches_per_frame=2))
        self.store = RedisStore(self.client, "cam", 4, SCALE)
        self.lease = RedisLease(self.client, "cam")
        self.patches = np.arange(96, dtype=np.uint8).reshape(2, 48)
        self.calls = {
            "add": lambda: self.window.add(self.patches),
            "read": self.window.read,
            "size": self.window.size,
            "current": self.store.current,
            "load": lambda: self.store.load(1),
            "publish": lambda: self.store.publish(words(1), self.fence),
            "hold": lambda: self.store.hold(1),
            "versions": self.store.versions,
            "record": lambda: self.store.record(1, COVERAGE),
            "history": self.store.history,
            "acquire": self.lease.acquire,
            "renew": self.lease.renew,
            "release": self.lease.release,
        }
        self.work()

    def work(self) -> None:
        """Does everything once; version 1 is published afterwards, on a server that was empty."""
        self.fence = self.lease.acquire()
        self.store.publish(words(), self.fence)
        self.window.add(self.patches)
        self.store.record(1, COVERAGE)

    def outcomes(self) -> dict[str, object]:
        """What each call gives, or the error it raises."""
        found: dict[str, object] = {}
        for name, call in self.calls.items():
            try:
                found[name] = call()
            except (StoreUnavailable, VocabularyError) as error:
                found[name] = error
        return found


@pytest.fixture
def worker(server):
    return Worker(server.url)


@pytest.mark.timeout(60)
def test_every_call_says_in_one_line_that_the_server_is_away(server, worker):
    server.kill()

    for name, outcome in worker.outcomes().items():
        assert isinstance(outcome, StoreUnavailable), name
        assert str(server.folder) in str(outcome)
        assert "cannot be reached" in str(outcome)
        assert "\n" not in str(outcome)


@pytest.mark.timeout(60)
def test_every_call_gives_up_on_a_server_that_does_not_answer(server):
    worker = Worker(server.url + "?socket_timeout=0.2")
    server.halt()

    for name, outcome in worker.outcomes().items():
        assert isinstance(outcome, StoreUnavailable), name
        assert "did not answer in time" in str(outcome)


@pytest.mark.timeout(60)
def test_a_server_that_pauses_is_given_up_and_used_again_without_mixing_up_answers(server, worker):
    connect(server.url).client_pause(1500)

    with pytest.raises(StoreUnavailable, match="did not answer in time"):
        worker.store.current()

    eventually(lambda: answers(worker))
    assert worker.store.current() == 1
    assert worker.store.load(1).version == 1
    assert np.array_equal(worker.window.read(), worker.patches)


def answers(worker: Worker) -> bool:
    try:
        return worker.store.current() is not None
    except StoreUnavailable:
        return False


def test_work_goes_on_by_itself_on_a_server_that_came_back_empty(server, worker):
    server.kill()
    assert isinstance(worker.outcomes()["add"], StoreUnavailable)
    server.start()

    assert worker.window.size() == 0
    assert worker.store.current() is None
    assert not worker.store.hold(1)
    assert not worker.lease.renew()
    worker.work()
    assert np.array_equal(worker.window.read(), worker.patches)
    assert worker.store.load(1).version == 1


def test_words_at_hand_get_a_new_number_on_a_server_that_lost_its_versions(server, worker):
    at_hand = worker.store.publish(words(2), worker.fence)
    server.kill()
    server.start()

    published = worker.store.publish(at_hand, worker.lease.acquire())

    assert published.version == at_hand.version + 1


def test_a_publisher_from_before_the_server_lost_its_data_publishes_nothing(server, worker):
    server.kill()
    server.start()
    newer = Worker(server.url)

    assert worker.store.publish(words(5), worker.fence) is None

    assert torch.equal(worker.store.load(newer.store.current()).words, words().words)


def test_a_publisher_whose_lease_went_to_another_publishes_nothing(server, worker):
    worker.client.delete(KEYS.lease)  # as when it expires while the publisher is suspended
    newer = RedisLease(connect(server.url), "cam")
    fence = newer.acquire()

    assert worker.store.publish(words(5), worker.fence) is None
    assert worker.store.current() == 1
    assert worker.store.publish(words(6), fence).version == 2


def test_a_full_server_refuses_writes_and_goes_on_giving_what_it_has(worker):
    worker.client.config_set("maxmemory-policy", "noeviction")
    worker.client.config_set("maxmemory", "1mb")
    before = sorted(worker.client.scan_iter())

    outcomes = worker.outcomes()

    for name in ("add", "publish", "record"):
        assert "is full; raise its maxmemory" in str(outcomes[name]), name
    assert np.array_equal(outcomes["read"], worker.patches)
    assert outcomes["current"] == 1
    assert torch.equal(outcomes["load"].words, words().words)
    assert worker.client.xlen(KEYS.versions) == 1
    assert set(worker.client.scan_iter()) <= set(before)


def test_a_replica_that_refuses_writes_says_where_to_write(worker):
    worker.client.config_set("replica-serve-stale-data", "yes")
    worker.client.replicaof("127.0.0.1", "1")

    with pytest.raises(StoreUnavailable, match="read-only replica; give the URL of the primary"):
        worker.window.add(worker.patches)


def test_a_user_who_may_not_write_is_told_so(worker):
    worker.client.execute_command("ACL", "SETUSER", "default", "-xadd")

    with pytest.raises(StoreUnavailable, match=r"refuses us .*; check the user and password"):
        worker.window.add(worker.patches)


FOREIGN_KEYS = [KEYS.window, KEYS.current, KEYS.version(1), KEYS.lease, KEYS.last, KEYS.versions, KEYS.stats]


@pytest.mark.parametrize("kind_of_value", ["string", "empty", "hash", "list", "set", "stream"])
@pytest.mark.parametrize("key", FOREIGN_KEYS, ids=lambda key: key.rpartition(":")[2])
def test_a_foreign_value_under_any_key_gives_a_clear_error_or_nothing_and_never_other_words(
    worker, key, kind_of_value
):
    client = worker.client
    client.delete(key)
    {
        "string": lambda: client.set(key, b"\xff\x00 not ours"),
        "empty": lambda: client.set(key, b""),
        "hash": lambda: client.hset(key, mapping={"token": "x", "version": "y"}),
        "list": lambda: client.rpush(key, "1"),
        "set": lambda: client.sadd(key, "1"),
        "stream": lambda: client.xadd(key, {"version": "1"}),
    }[kind_of_value]()

    outcomes = worker.outcomes()  # any other kind of error fails here

    for error in outcomes.values():
        if isinstance(error, Exception):
            assert "\n" not in str(error)
            assert "{cam}" in str(error) or "of cam" in str(error)
    if isinstance(outcomes["load"], Vocabulary):
        assert torch.equal(outcomes["load"].words, words().words)
    if isinstance(outcomes["current"], int):
        assert outcomes["current"] == 1
    if not isinstance(outcomes["read"], Exception):
        assert np.isin(outcomes["read"], worker.patches).all()
    assert worker.client.type(key) != b"none", "what is not ours is not ours to delete"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (words(3, version=2).to_bytes(), "holds version 2"),
        (words(3, patch_size=8, version=1).to_bytes(), "has patch size 8, the model 4"),
        (Vocabulary(words().words, 1).to_bytes(), "was learned with None"),
        (words(version=1).to_bytes()[:-1], "is no vocabulary"),
        (words(version=1).to_bytes()[:-4] + b"\0\0\0\0", "is damaged"),
        (b"", "is no vocabulary"),
    ],
)
def test_words_that_are_not_the_ones_asked_for_are_refused(worker, data, why):
    worker.client.set(KEYS.version(1), data)

    with pytest.raises(VocabularyError, match=why):
        worker.store.load(1)


def test_no_flipped_byte_gives_other_words(worker):
    whole = worker.client.get(KEYS.version(1))
    random_bytes = random.Random(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[random_bytes.randrange(len(whole))] ^= 1 << random_bytes.randrange(8)
        worker.client.set(KEYS.version(1), bytes(damaged))
        try:
            loaded = worker.store.load(1)
        except VocabularyError:
            refused += 1
        else:
            assert torch.equal(loaded.words, words().words)
            assert loaded.normalisation == SCALE
    assert refused > 300


@pytest.mark.timeout(200)
def test_a_reader_sees_whole_versions_only_while_publishers_are_killed(server):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.vocab.publisher"])
    stop, seen, errors = threading.Event(), [], []

    def read() -> None:
        store = RedisStore(connect(server.url), "cam", publisher.SIDE)
        while not stop.is_set():
            version = store.current()
            if version is None or (seen and version == seen[-1]):
                continue
            try:
                loaded = store.load(version)
            except VocabularyError as error:
                errors.append(error)
                continue
            if not (loaded.words == loaded.words[0, 0]).all():
                errors.append(f"version {version} is a mix")
            seen.append(version)

    reader = threading.Thread(target=read)
    reader.start()
    fences, moments = [], random.Random(0)
    for round_ in range(20):
        started, told = context.Pipe(duplex=False)
        process = context.Process(target=publisher.publish_for_ever, args=(server.url, 1000 * round_, told))
        process.start()
        assert started.poll(60), "the publisher did not get the lease"
        fences.append(started.recv())
        time.sleep(moments.uniform(0.02, 0.12))  # the moment of the kill is what varies
        process.kill()
        process.join()
    stop.set()
    reader.join()

    assert errors == []
    assert len(seen) > 20
    assert seen == sorted(set(seen))
    assert fences == sorted(set(fences))
    store = RedisStore(connect(server.url), "cam", publisher.SIDE)
    assert [info.version for info in store.versions()][-1] == store.current()
