"""What Redis may hold, and what can still be written when it is full (`maxmemory` with `noeviction`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors

# Begins a script whose writes must not fail then: what gives memory back, and what is small and never grows.
# Redis refuses only the first write of a script, and only one that may take memory; so this is first, frees
# nothing, and is put behind a hash of the script's own slot.
EVEN_WHEN_FULL = "redis.call('HDEL', {key}, '')\n"


@dataclass(frozen=True, slots=True)
class Memory:
    """Of all primaries together.

    Attributes:
        used: bytes that count towards the limit.
        limit: bytes; None for none.
    """

    used: int
    limit: int | None


def memory(client: RedisClient) -> Memory:
    """How full Redis is.

    Raises:
        StoreUnavailable: it cannot say now.
    """
    with redis_errors("look how full it is", server_name(client)):
        found: Any = client.info("memory")
    # A Cluster answers by node.
    nodes = [found] if "used_memory" in found else list(found.values())
    limits = [int(node.get("maxmemory", 0)) for node in nodes]
    used = sum(int(node["used_memory"]) - int(node.get("mem_not_counted_for_evict", 0)) for node in nodes)
    return Memory(used, sum(limits) if all(limits) else None)
