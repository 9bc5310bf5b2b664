"""The Redis of a service: the one that was named, or one of its own that it looks after."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import ServiceError
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from vocab.errors import StoreUnavailable
from workers.settings.folders import data_folder
from workers.settings.schema import ServiceSettings

Watch = Callable[[], None]


@contextmanager
def running_redis(settings: ServiceSettings, say: Callable[[str], None]) -> Iterator[tuple[str, Watch]]:
    """Gives the URL of a server that answers, and what to call every second to keep it so.

    Args:
        settings: of the service; without a URL a server is started that keeps its data in a folder.
        say: told when it had to be started again.

    Raises:
        ServiceError: it does not answer, or cannot be started.
        VocabularyError: the URL is none.
    """
    if settings.redis is not None:
        try:
            connect(settings.redis).close()
        except StoreUnavailable as error:
            raise ServiceError(f"{error} (or leave out --redis, for an embedded one)") from error
        yield settings.redis, lambda: None
        return
    server = EmbeddedRedis(settings.redis_bytes, data_folder(settings))
    try:
        server.start()
    except StoreUnavailable as error:
        raise ServiceError(f"{error} (--data-folder)") from error
    try:
        yield server.url, lambda: _revive(server, say)
    finally:
        server.stop()


def _revive(server: EmbeddedRedis, say: Callable[[str], None]) -> None:
    if server.alive():
        return
    server.stop()
    try:
        server.start()
    except StoreUnavailable as error:
        say(f"the embedded Redis ended, and {error}; trying again")
    else:
        say("the embedded Redis ended; it runs again, with all but the last second of what it held")
