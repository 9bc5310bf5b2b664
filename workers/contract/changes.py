"""Tells the replicas that read streams which of them have changed, so that none has to look at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.keys import CHANGES

# What names an announcement.
ENTRY = r"^\d{1,18}-\d{1,18}$"
_NONE = "0-0"
# From here on there is nothing.
_NEWEST = "+"
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


def changed_since(client: RedisClient, after: str | None) -> tuple[set[str] | None, str]:
    """Which streams have changed since an earlier call.

    Args:
        client: of Redis.
        after: the second of what that call gave; None where there was none.

    Returns:
        Their ids, None where any may have changed: without an earlier call, and when more was announced since
        than Redis keeps; and what to give to the next call, which looks like `ENTRY`.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    with redis_errors("look what has changed", server_name(client)):
        pipeline: Any = client.pipeline(transaction=False)
        pipeline.xrange(CHANGES, _NEWEST if after is None else after, "+")
        pipeline.xrevrange(CHANGES, count=1)
        entries, newest = pipeline.execute()
    if after is not None:
        if not entries and after == _NONE:
            return set(), after
        # The last one seen is still there, or none had ever been: nothing between was trimmed.
        if entries and (after == _NONE or entries[0][0].decode() == after):
            told = [json.loads(fields[b"streams"]) for entry, fields in entries if entry.decode() != after]
            # Not the newest: that may have come between the two looks.
            return {stream for streams in told for stream in streams}, entries[-1][0].decode()
    return None, newest[0][0].decode() if newest else _NONE


class Changes:
    """Reads what was announced, each once.

    Args:
        client: of Redis.
    """

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self._after: str | None = None

    def read(self) -> set[str] | None:
        """Ids of the streams that have changed since the last call; None where any may have, as at the first.

        Raises:
            StoreUnavailable: Redis cannot say now.
        """
        found, self._after = changed_since(self._client, self._after)
        return found
