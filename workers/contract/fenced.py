"""Scripts that write for a stream only under the newest fence of its lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.errors import VwtError
from vocab.connection import RedisClient, server_name
from vocab.redis_errors import redis_errors
from vocab.scripts import run_script

# Begins such a script. KEYS[1]: the last fence; ARGV[1]: the one that is held.
# A Redis that lost its data knows no fence: the first that writes becomes the one to beat.
CHECK_FENCE = """
local last = redis.call('HGET', KEYS[1], 'token')
if last and tonumber(last) > tonumber(ARGV[1]) then return {err = 'FENCED'} end
if not last then redis.call('HSET', KEYS[1], 'token', ARGV[1]) end
"""


class FencedError(VwtError):
    """Somebody else runs the stream now, or it was removed; nothing was written."""


def run_fenced(
    client: RedisClient,
    stream: str,
    doing: str,
    script: str,
    keys: Sequence[str],
    arguments: Sequence[Any],
    refusals: Mapping[str, VwtError] | None = None,
) -> Any:
    """Runs a script that begins with `CHECK_FENCE`.

    Args:
        client: of Redis.
        stream: its id.
        doing: what fails, as in "cannot <doing>".
        script: in Lua.
        keys: of the script, the last fence first.
        arguments: of the script, the fence that is held first.
        refusals: what else the script may answer with, and what is raised then.

    Raises:
        FencedError: a newer fence was given out.
        StoreUnavailable: Redis cannot do it now.
    """
    fenced = FencedError(f"{stream} is run by somebody else now, or was removed")
    with redis_errors(doing, server_name(client)):
        try:
            return run_script(client, script, keys, arguments)
        except Exception as error:
            for word, refusal in {"FENCED": fenced, **(refusals or {})}.items():
                if word in str(error):
                    raise refusal from None
            raise
