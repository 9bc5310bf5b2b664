"""Puts together words that live: where the window is, and who keeps it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.errors import ServiceError, UsageError
from pipeline.living import LivingWords
from pipeline.models import Model
from pipeline.tokenizing import first_words
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from vocab.errors import StoreUnavailable, VocabularyError
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperOptions, VocabularyKeeper
from vocab.lease import Lease, MemoryLease
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.store import MemoryStore, VocabularyStore
from vocab.window import MemoryWindow, PatchSampler, RollingWindow, WindowOptions
from vocab.words import Normalisation
from workers.run.options import RollingOptions, TokenizerOptions

_Parts = tuple[RollingWindow, VocabularyStore, Lease]


@contextmanager
def living_words(
    tokenizer: TokenizerOptions,
    near: float,
    rolling: RollingOptions,
    model: Model,
    stream: str,
    live: bool,
    say: Callable[[str], None],
) -> Iterator[LivingWords]:
    """Words of a stream that are learned from its scope's window while it runs.

    Args:
        tokenizer: how many words.
        near: cosine distance up to which a patch counts as a word.
        rolling: where the window is and when words are learned again.
        model: whose patches they are for.
        stream: name of the stream, and of its scope unless the options name one.
        live: whether frames must not wait for the first words.
        say: told what a person should know.

    Raises:
        ServiceError: Redis does not answer at the start.
        UsageError: the scope holds words for another model.
    """
    assert model.patch_size is not None
    scale = model.input.normalisation
    window_options = WindowOptions(rolling.window_fps, rolling.window_patches)
    keeper_options = KeeperOptions(
        words=tokenizer.words,
        near=near,
        check_every_s=min(rolling.check_every_s, rolling.relearn_after_s),
        relearn_after_s=rolling.relearn_after_s,
    )
    with _parts(rolling, rolling.scope or stream, model.patch_size, scale, window_options, say) as parts:
        window, store, lease = parts
        _check_scope(store)
        keeper = VocabularyKeeper(
            window, store, lease, scale, keeper_options, lambda event: say(event.message)
        )
        follower = VocabularyFollower(store, prepare=lambda words: words.to(model.device))
        sampler = PatchSampler(window_options, model.patch_size, seed=secrets.randbits(32))
        # Version 0: not published yet.
        learner = first_words(model, tokenizer.words, tokenizer.warmup_frames, live, version=0)
        with LivingWords(sampler, window, keeper, follower, learner) as words:
            yield words


@contextmanager
def _parts(
    rolling: RollingOptions,
    scope: str,
    patch_size: int,
    scale: Normalisation,
    options: WindowOptions,
    say: Callable[[str], None],
) -> Iterator[_Parts]:
    if rolling.window == "memory":
        if rolling.redis is not None:
            say("the window is in memory (--window memory): words are not shared through Redis")
        yield MemoryWindow(options, patch_size), MemoryStore(patch_size, scale), MemoryLease()
        return
    if rolling.redis is None:
        server = EmbeddedRedis()
        try:
            server.start()
        except StoreUnavailable as error:
            raise ServiceError(f"{error}; or run with --window memory") from error
        try:
            yield _in_redis(server.url, scope, patch_size, scale, options)
        finally:
            server.stop()
        return
    yield _in_redis(rolling.redis, scope, patch_size, scale, options)


def _in_redis(url: str, scope: str, patch_size: int, scale: Normalisation, options: WindowOptions) -> _Parts:
    try:
        client = connect(url)
    except StoreUnavailable as error:
        raise ServiceError(f"{error}; or run with --window memory") from error
    return (
        RedisWindow(client, scope, patch_size, options),
        RedisStore(client, scope, patch_size, scale),
        RedisLease(client, scope, owner=f"{socket.gethostname()}:{os.getpid()}"),
    )


def _check_scope(store: VocabularyStore) -> None:
    """Says at the start, not in a log line later, that the scope is another model's."""
    try:
        version = store.current()
        if version is not None:
            store.load(version)
    except StoreUnavailable as error:
        raise ServiceError(f"{error}; or run with --window memory") from error
    except VocabularyError as error:
        raise UsageError(f"{error} (--scope)") from error
