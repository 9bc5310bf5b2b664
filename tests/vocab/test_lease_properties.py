"""What holds of leases, whoever takes, renews, loses and gives them back, and in whatever order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vocab.servers import Server
from vocab.connection import connect
from vocab.keys import ScopeKeys
from vocab.redis_lease import RedisLease

KEYS = ScopeKeys("cam")
# "expire" is what the server does by its clock; "forget" is a server that lost its data.
moves = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["acquire", "renew", "release", "expire", "forget"])),
    max_size=40,
)


@pytest.fixture
def client() -> Any:
    server = Server("valkey")
    yield connect(server.url)
    server.close()


@given(moves)
def test_one_holds_it_at_a_time_and_no_fence_comes_twice_or_falls(
    client: Any, moves: list[tuple[int, str]]
) -> None:
    client.flushall()
    leases = [RedisLease(client, "cam", ttl_s=600) for _ in range(3)]
    holder, fences = None, [0]
    for who, move in moves:
        if move == "acquire":
            fence = leases[who].acquire()
            assert (fence is None) == (holder not in (None, who))
            if fence is not None and holder == who:
                assert fence == fences[-1]
            elif fence is not None:
                assert fence > fences[-1]
                fences.append(fence)
                holder = who
        elif move == "renew":
            assert leases[who].renew() == (holder == who)
        elif move == "release":
            leases[who].release()
            holder = None if holder == who else holder
        else:
            client.delete(KEYS.lease) if move == "expire" else client.flushall()
            holder = None
        renewed = RedisLease.renew_all(client, leases)
        assert renewed == [holder == number for number in range(3)]
