import pytest

from tests.vocab.servers import eventually
from vocab.connection import connect
from vocab.errors import StoreUnavailable
from vocab.lease import MemoryLease
from vocab.redis_lease import RedisLease

KEY = "vwt:{cam}:vocab:lease"


def test_a_lease_in_memory_is_always_granted():
    lease = MemoryLease()

    assert lease.acquire() == lease.acquire()
    assert lease.renew()
    lease.release()


def test_one_holds_the_lease_and_others_wait_until_it_is_released(client):
    one, other = RedisLease(client, "cam"), RedisLease(client, "cam")

    first = one.acquire()
    assert other.acquire() is None
    assert not other.renew()

    one.release()
    second = other.acquire()
    assert second > first
    assert not one.renew()
    assert one.acquire() is None


def test_acquiring_what_one_holds_gives_the_same_fence(client):
    lease = RedisLease(client, "cam")

    assert lease.acquire() == lease.acquire()


def test_leases_of_one_owner_are_held_apart(client):
    assert RedisLease(client, "cam", owner="host").acquire() is not None
    assert RedisLease(client, "cam", owner="host").acquire() is None
    assert client.get(KEY).startswith(b"host#")


def test_releasing_what_another_holds_does_nothing(client):
    holder, other = RedisLease(client, "cam"), RedisLease(client, "cam")
    holder.acquire()

    other.release()

    assert holder.renew()


def test_a_lease_that_is_not_renewed_goes_to_another_with_a_greater_fence(client):
    gone, waiting = RedisLease(client, "cam", ttl_s=0.05), RedisLease(client, "cam")
    first = gone.acquire()
    second = []

    eventually(lambda: second.append(waiting.acquire()) or second[-1] is not None)

    assert second[-1] > first
    assert not gone.renew()


def test_renewing_starts_the_time_to_live_anew(client):
    lease = RedisLease(client, "cam", ttl_s=100)
    lease.acquire()
    client.pexpire(KEY, 1000)

    assert lease.renew()

    assert 99_000 < client.pttl(KEY) <= 100_000


def test_the_clocks_of_workers_do_not_matter(client, monkeypatch):
    holder, other = RedisLease(client, "cam"), RedisLease(client, "cam")
    first = holder.acquire()
    for skew in (-1e6, 1e6):
        monkeypatch.setattr("time.time", lambda skew=skew: 1.8e9 + skew)
        assert other.acquire() is None
        assert holder.renew()

    holder.release()
    assert other.acquire() > first


def test_scopes_have_leases_of_their_own(client):
    assert RedisLease(client, "cam").acquire() is not None
    assert RedisLease(client, "other").acquire() is not None


def test_no_fence_comes_again_after_the_server_lost_its_data(server):
    client = connect(server.url)
    lease = RedisLease(client, "cam")
    fences = [lease.acquire()]
    for _ in range(3):
        server.kill()
        server.start()
        assert not lease.renew()
        fences.append(RedisLease(client, "cam").acquire())

    assert fences == sorted(set(fences))


def test_a_lease_without_an_end_is_reported_as_foreign(client):
    client.set(KEY, "somebody")

    with pytest.raises(StoreUnavailable, match="holds it without an end"):
        RedisLease(client, "cam").acquire()
