"""A keeper that does nothing but publish, in a process of its own, until it is killed."""

from __future__ import annotations

import time
from multiprocessing.connection import Connection

import torch

from vocab.connection import connect
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.words import Vocabulary

SIDE = 16
WORDS = 200


def publish_for_ever(url: str, seed: int, started: Connection) -> None:
    """Publishes words that all equal one number, so that a mix of two versions would show."""
    torch.set_num_threads(1)
    client = connect(url)
    store, lease = RedisStore(client, "cam", SIDE, ttl_s=2), RedisLease(client, "cam", ttl_s=0.1)
    while (fence := lease.acquire()) is None:
        time.sleep(0.005)
    started.send(fence)
    number = seed
    while True:
        vocabulary = Vocabulary(torch.full((WORDS, 3 * SIDE * SIDE), float(number)))
        lease.renew()
        store.publish(vocabulary, fence)
        number += 1
