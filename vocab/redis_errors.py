"""The one place where what redis-py raises becomes `StoreUnavailable`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from vocab.errors import StoreUnavailable

_LONGEST_REASON = 160


@contextmanager
def redis_errors(doing: str, where: str) -> Iterator[None]:
    """Turns every failure of a Redis call inside the block into one line that can be acted on.

    Args:
        doing: what fails, as in "cannot <doing>".
        where: the server without credentials, as `vocab.connection.server_name` or `shown` gives it.

    Raises:
        StoreUnavailable: what failed, why, what to do.
    """
    try:
        yield
    except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as error:
        raise StoreUnavailable(f"cannot {doing}: {where} {_why(error)}") from error


def raise_first(answers: list[Any]) -> list[Any]:
    """Raises the first error among the answers of a pipeline, else gives them back.

    redis-py, left to raise by itself, quotes the command in the error: pixels and all.
    """
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _why(error: BaseException) -> str:
    while isinstance(error, exceptions.RedisClusterException) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()).rstrip(".")[:_LONGEST_REASON]
    if isinstance(error, exceptions.OutOfMemoryError):
        return "is full; raise its maxmemory, or lower the window's max_bytes"
    if isinstance(error, exceptions.TimeoutError):
        return "did not answer in time; look at its load and the network"
    if isinstance(
        error,
        exceptions.AuthenticationError | exceptions.AuthorizationError | exceptions.NoPermissionError,
    ) or text.startswith(("NOAUTH", "WRONGPASS")):
        return f"refuses us ({text}); check the user and password of the URL and what they may do"
    if isinstance(error, MasterNotFoundError):
        # What follows the colon are representations of redis-py's objects.
        return f"gives no primary ({text.partition(' : ')[0]}); check that its Sentinels run and know it"
    if isinstance(error, exceptions.BusyLoadingError):
        return "is still loading its data; wait until it has"
    if isinstance(error, exceptions.ReadOnlyError):
        return "is a read-only replica; give the URL of the primary, or one of Sentinel"
    if text.startswith("WRONGTYPE"):
        return "holds a value of another kind there; delete it or use another scope"
    if isinstance(error, exceptions.InvalidResponse):
        return "does not speak the protocol of Redis; check the address and the port"
    if isinstance(error, exceptions.ConnectionError | exceptions.RedisClusterException | OSError):
        return f"cannot be reached ({text}); start it or check its URL"
    return f"refuses ({text}); check that it is Redis 7 or Valkey"
