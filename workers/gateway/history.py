"""The results of a stream that Redis keeps, by time, a page at a time."""

from __future__ import annotations

import json
from typing import Any

from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from workers.contract.keys import StreamKeys

_CHUNK = 500
# A page that finds little ends after so many results looked at, and says where to go on.
_MOST_LOOKED_AT = 20_000


def history(
    client: RedisClient, stream: str, since: float | None, until: float | None, after: int, limit: int
) -> str:
    """One page.

    Args:
        client: of Redis.
        stream: its id.
        since, until: seconds, of the wall clock for a live source and of presentation for a file.
        after: results before this number of frames were seen.
        limit: of results.

    Returns:
        JSON of a `workers.gateway.messages.History`; its `next` is null where there is nothing more.

    Raises:
        StoreUnavailable: Redis cannot be used now.
    """
    reader: Any = client
    found: list[str] = []
    looked_at, seen = 0, after
    while len(found) < limit and looked_at < _MOST_LOOKED_AT:
        with redis_errors(f"read results of {stream}", server_name(client)):
            entries = reader.xrange(StreamKeys(stream).results, min=f"({seen}-0", count=_CHUNK)
        for entry, fields in entries:
            text = fields[b"result"].decode()
            seen, looked_at = int(entry.partition(b"-")[0]), looked_at + 1
            if _within(text, since, until):
                found.append(text)
                if len(found) == limit:
                    break
        if len(entries) < _CHUNK and len(found) < limit:
            return f'{{"results":[{",".join(found)}],"next":null}}'
    return f'{{"results":[{",".join(found)}],"next":{seen}}}'


def _within(text: str, since: float | None, until: float | None) -> bool:
    if since is None and until is None:
        return True
    result = json.loads(text)
    time_s = result.get("pts_s") if result.get("captured_at") is None else result["captured_at"]
    return time_s is not None and (since is None or time_s >= since) and (until is None or time_s < until)
