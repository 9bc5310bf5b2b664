"""Tells the replicas that read streams which of them have changed, so that none has to look at all."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script
from workers.contract.keys import CHANGES

# What names an announcement.
ENTRY = r"^\d{1,18}-\d{1,18}$"
_NONE = "0-0"
_KEPT = 10_000
# What trims comes first: so a server that is full takes what comes after, see `vocab.redis_memory`.
_ANNOUNCE = """
redis.call('XTRIM', KEYS[1], 'MAXLEN', '~', ARGV[1])
redis.call('XADD', KEYS[1], '*', 'streams', ARGV[2])
"""
# The id of the newest, and what was told after ARGV[1]; false where that is not known. It is found here,
# since as a rule there is nothing new, and then nothing but the id is sent.
_SINCE = """
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local last = newest and newest[1] or '0-0'
if ARGV[1] == last then return {last, {}} end
if ARGV[1] == '' then return {last, false} end
local told = {}
for i, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[1], '+')) do
    -- The last one seen is still there, or none had ever been: nothing between was trimmed.
    if i == 1 and entry[1] ~= ARGV[1] and ARGV[1] ~= '0-0' then return {last, false} end
    if entry[1] ~= ARGV[1] then told[#told + 1] = entry[2][2] end
end
if #told == 0 then return {last, false} end
return {last, told}
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
        newest, told = run_script(client, _SINCE, [CHANGES], [after or ""])
    if told is None:
        return None, newest.decode()
    return {stream for streams in told for stream in json.loads(streams)}, newest.decode()


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
