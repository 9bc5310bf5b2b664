"""Publishes words as the keeper would."""

from __future__ import annotations

import torch

from vocab.connection import connect
from vocab.coverage import Coverage
from vocab.keys import ScopeKeys
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.words import Normalisation, Vocabulary

WORDS, PATCH = 40, 14


def publish(url: str, scope: str, covered: float | None = 0.75) -> int:
    """Publishes words and, unless None, that they cover that share of the window; the version."""
    client = connect(url)
    try:
        colours = torch.rand(WORDS, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 2 - 1
        patches = colours.expand(WORDS, 3, PATCH, PATCH).flatten(1).contiguous()
        words = Vocabulary(patches, 0, Normalisation((0.5,) * 3, (0.5,) * 3))
        store = RedisStore(client, scope, PATCH)
        lease = RedisLease(client, ScopeKeys(scope))
        fence = lease.acquire()
        assert fence is not None
        published = store.publish(words, fence)
        assert published is not None
        if covered is not None:
            usage = torch.arange(WORDS).numpy()
            store.record(published.version, Coverage(covered, 0.01, usage))
        lease.release()
        return published.version
    finally:
        client.close()
