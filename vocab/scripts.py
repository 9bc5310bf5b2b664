"""Lua scripts by their digest, so that a call sends forty bytes of it and Redis parses it once.

redis-py's `register_script` sends a script that a server does not know (it was restarted, another took over,
its scripts were flushed) to all primaries of a Cluster, and then again by its digest. Here such a call goes
whole to the one server that lacks it, which keeps it: one round trip, and nothing to fail between.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from typing import Any

from redis.exceptions import NoScriptError

from vocab.connection import RedisClient
from vocab.redis_errors import raise_first


def run_script(client: RedisClient, script: str, keys: Sequence[str], arguments: Sequence[Any] = ()) -> Any:
    """Runs a script.

    Args:
        client: of Redis.
        script: in Lua; one of few texts, as a server keeps each.
        keys: KEYS, of one hash slot.
        arguments: ARGV.

    Raises:
        redis.RedisError: as of any command.
    """
    any_client: Any = client
    try:
        return any_client.evalsha(_digest(script), len(keys), *keys, *arguments)
    except NoScriptError:
        return any_client.eval(script, len(keys), *keys, *arguments)


def run_for_each(
    client: RedisClient, script: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]
) -> list[Any]:
    """Runs a script once for each keys and arguments, in one round trip.

    Raises:
        redis.RedisError: the first that a call ended with; others may have been done.
    """
    answers = _all(client, "EVALSHA", _digest(script), calls)
    unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    again = _all(client, "EVAL", script, [calls[index] for index in unknown])
    for index, answer in zip(unknown, again, strict=True):
        answers[index] = answer
    return raise_first(answers)


def _all(
    client: Any, command: str, what: str, calls: Sequence[tuple[Sequence[str], Sequence[Any]]]
) -> list[Any]:
    if not calls:
        return []
    pipeline = client.pipeline(transaction=False)
    for keys, arguments in calls:
        # By its name: the pipeline of a Cluster has no method for it.
        pipeline.execute_command(command, what, len(keys), *keys, *arguments)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    return answers


@lru_cache(maxsize=64)
def _digest(script: str) -> str:
    # What Redis names it by; nothing is kept safe by it.
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
