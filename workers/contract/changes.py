"""Tells the replicas that read streams which of them have changed, so that none has to look at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.keys import CHANGES

_KEPT = 10_000
# What trims comes first: so a server that is full takes what comes after, see `vocab.redis_memory`.
_ANNOUNCE = """
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1])
redis.call('XADD', KEYS[1], '*', 'streams', ARGV[2])
"""


def announce(client: RedisClient, streams: Sequence[str]) -> None:
    """Tells that streams were added, changed or removed, or are to be read by another; after it is so.

    Raises:
        redis.RedisError: as of any command.
    """
    run_script(client, _ANNOUNCE, [CHANGES], [_KEPT, json.dumps(list(streams))])


class Changes:
    """Reads what was announced, each once.

    Args:
        client: of Redis.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client: Any = client
        self._where = server_name(client)
        self._after: bytes | None = None

    def read(self) -> set[str] | None:
        """Ids of the streams that have changed since the last call; None where any may have.

        That is so on the first call, and when more was announced since than Redis keeps.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        with redis_errors("look what has changed", self._where):
            pipeline = self._client.pipeline(transaction=False)
            pipeline.xrange(CHANGES, "-" if self._after is None else self._after, "+")
            pipeline.xrevrange(CHANGES, count=1)
            entries, newest = pipeline.execute()
        before, self._after = self._after, newest[0][0] if newest else b"0-0"
        if before == self._after:
            return set()
        # The last one seen is still there, or none had ever been: nothing between was trimmed.
        whole = before is not None and (before == b"0-0" or (entries and entries[0][0] == before))
        if not whole:
            return None
        found = [json.loads(fields[b"streams"]) for entry, fields in entries if entry != before]
        return {stream for streams in found for stream in streams}
