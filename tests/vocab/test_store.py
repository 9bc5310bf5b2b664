import numpy as np
import pytest
import redis
import torch

from tests.vocab.servers import KINDS, Server, eventually
from vocab.connection import connect
from vocab.coverage import Coverage
from vocab.errors import VocabularyError
from vocab.lease import MemoryLease
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.store import KEPT_RECORDS, MemoryStore
from vocab.words import Normalisation, Vocabulary

SCALE = Normalisation((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def words(seed: int = 0, version: int = 0, patch_size: int = 4, scale: Normalisation = SCALE) -> Vocabulary:
    generator = torch.Generator().manual_seed(seed)
    # As Redis keeps them.
    pixels = torch.rand(6, 3 * patch_size**2, generator=generator).half()
    return Vocabulary(pixels, version, scale)


@pytest.fixture(params=["memory", *KINDS])
def store_and_lease(request):
    """An empty store and its lease, once of each implementation."""
    if request.param == "memory":
        yield MemoryStore(4, SCALE), MemoryLease()
        return
    server = Server(request.param)
    client = connect(server.url)
    yield RedisStore(client, "cam", 4, SCALE), RedisLease(client, "cam")
    server.close()


@pytest.fixture
def store(store_and_lease):
    return store_and_lease[0]


@pytest.fixture
def fence(store_and_lease):
    return store_and_lease[1].acquire()


def test_an_empty_store_has_no_current_words(store):
    assert store.current() is None
    assert store.versions() == []
    assert store.history() == []
    assert not store.hold(1)
    with pytest.raises(VocabularyError, match="gone"):
        store.load(1)


def test_published_words_are_current_and_read_back_whole(store, fence):
    published = store.publish(words(), fence)

    assert published.version == store.current() == 1
    loaded = store.load(1)
    assert loaded.version == 1
    assert loaded.normalisation == SCALE
    assert torch.equal(loaded.words, words().words)


def test_versions_count_up_and_earlier_ones_do_not_change(store, fence):
    for seed in range(3):
        store.publish(words(seed), fence)

    assert store.current() == 3
    assert [info.version for info in store.versions()] == [1, 2, 3]
    assert [(info.words, info.patch_size) for info in store.versions()] == [(6, 4)] * 3
    assert torch.equal(store.load(1).words, words(0).words)


def test_a_new_version_is_above_the_one_it_was_made_from(store, fence):
    assert store.publish(words(version=41), fence).version == 42
    assert store.publish(words(), fence).version == 43


def test_an_old_fence_publishes_nothing(store, fence):
    store.publish(words(0), fence)

    assert store.publish(words(1), fence - 1) is None

    assert store.current() == 1
    assert torch.equal(store.load(1).words, words(0).words)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (words(patch_size=8), "patch size 8"),
        (words(scale=Normalisation((0, 0, 0), (1, 1, 1))), "was learned with"),
        (Vocabulary(words().words), "was learned with None"),
    ],
)
def test_words_the_scope_cannot_use_are_not_published(store, fence, other, why):
    with pytest.raises(VocabularyError, match=why):
        store.publish(other, fence)

    assert store.current() is None


def test_records_are_read_back_oldest_first(store):
    store.record(1, Coverage(0.25, 0.125, np.array([3, 0, 7])))
    store.record(2, Coverage(0.0, None, np.array([0, 0, 0])))

    first, second = store.history()

    assert (first.version, first.coverage.matched, first.coverage.distance) == (1, 0.25, 0.125)
    assert first.coverage.usage.dtype == np.int64
    assert first.coverage.usage.tolist() == [3, 0, 7]
    assert second.coverage.distance is None
    assert 0 <= second.at - first.at < 60
    assert [record.version for record in store.history(limit=1)] == [2]


def test_only_so_many_records_are_kept(store):
    for version in range(KEPT_RECORDS + 5):
        store.record(version, Coverage(1.0, 0.0, np.array([1])))

    history = store.history(limit=10_000)

    assert [record.version for record in history] == list(range(5, KEPT_RECORDS + 5))


# What follows is about Redis alone.


def key(name: object) -> str:
    return f"vwt:{{cam}}:vocab:{name}"


def redis_store(client, **options) -> tuple[RedisStore, int]:
    return RedisStore(client, "cam", 4, SCALE, **options), RedisLease(client, "cam").acquire()


def test_keys_are_those_of_the_design(client):
    store, fence = redis_store(client)
    store.publish(words(), fence)

    assert client.get(key("current")) == b"1"
    assert Vocabulary.from_bytes(client.get(key(1))).version == 1


def test_a_second_worker_starts_from_the_current_words(client, server):
    store, fence = redis_store(client)
    store.publish(words(), fence)

    other = RedisStore(connect(server.url), "cam", 4, SCALE)

    assert torch.equal(other.load(other.current()).words, words().words)


def test_a_scope_can_be_looked_at_without_knowing_its_patch_size(client):
    store, fence = redis_store(client)
    store.publish(words(), fence)

    assert RedisStore(client, "cam", patch_size=None).load(1).patch_size == 4
    with pytest.raises(VocabularyError, match="patch size 4, the model 8"):
        RedisStore(client, "cam", patch_size=8).load(1)


def test_a_version_that_is_replaced_expires_and_the_current_one_stays(client):
    store, fence = redis_store(client, ttl_s=0.05)
    store.publish(words(0), fence)
    store.publish(words(1), fence)

    eventually(lambda: not client.exists(key(1)))

    assert [info.version for info in store.versions()] == [2]
    assert store.load(2).version == 2
    assert not store.hold(1)


def test_a_version_that_is_held_does_not_expire(client):
    store, fence = redis_store(client, ttl_s=100)
    store.publish(words(0), fence)
    store.publish(words(1), fence)
    client.pexpire(key(1), 1000)

    assert store.hold(1)

    assert 99_000 < client.pttl(key(1)) <= 100_000


def test_holding_the_current_version_keeps_all_that_leads_to_it(client):
    store, fence = redis_store(client, ttl_s=1, unused_s=100)
    store.publish(words(), fence)
    store.record(1, Coverage(1.0, 0.0, np.array([1])))
    names = [key(name) for name in (1, "current", "versions", "stats")]
    for name in names:
        client.pexpire(name, 1000)

    assert store.hold(1)

    assert all(99_000 < client.pttl(name) <= 100_000 for name in names)


def test_everything_but_two_numbers_of_a_scope_expires_when_unused(client):
    store, fence = redis_store(client)
    store.publish(words(), fence)
    store.record(1, Coverage(1.0, 0.0, np.array([1])))

    lasting = [name for name in client.scan_iter() if client.pttl(name) < 0]

    assert lasting == [key("last").encode()]


def test_version_numbers_do_not_come_again_after_the_words_expired(client):
    store, fence = redis_store(client)
    store.publish(words(), fence)
    for name in (1, "current", "versions"):
        client.delete(key(name))

    assert store.publish(words(), fence).version == 2


class AnswersLost(redis.Redis):
    """Sends every script again, as redis-py does when the connection breaks before the answer."""

    def evalsha(self, *args):
        super().evalsha(*args)
        return super().evalsha(*args)


def test_publishing_again_after_a_lost_answer_makes_no_second_version(client, server):
    store, fence = redis_store(client)

    # Redis then knows the script.
    RedisStore(client, "other", 4, SCALE).publish(words(), RedisLease(client, "other").acquire())
    published = RedisStore(AnswersLost.from_url(server.url), "cam", 4, SCALE).publish(words(), fence)

    assert published.version == store.current() == 1
    assert client.xlen(key("versions")) == 1
