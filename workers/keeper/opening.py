"""The keeper of one scope. Imports torch: nobody needs it before a scope is in use."""

from __future__ import annotations

from collections.abc import Callable

import torch

from vocab.connection import RedisClient
from vocab.keeper import KeeperEvent, KeeperOptions, VocabularyKeeper
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.window import WindowOptions
from vocab.words import Normalisation
from workers.keeper.scopes import Wanted
from workers.settings.schema import KeeperSettings

# A stream writes 32 patches a second to its window: half a minute without words. The drift that words
# of so few show brings better ones.
_FIRST_PATCHES = 1024


def open_keeper(
    client: RedisClient,
    wanted: Wanted,
    patch_size: int,
    scale: Normalisation,
    settings: KeeperSettings,
    lease: RedisLease,
    tell: Callable[[KeeperEvent], None],
) -> VocabularyKeeper:
    """A keeper of the scope, not started; call it in the thread that is to learn.

    Args:
        client: of Redis.
        wanted: whose words, and how many.
        patch_size, scale: of the model's patches.
        settings: when words are learned again.
        lease: of the scope.
        tell: told what happens.
    """
    torch.set_num_threads(1)
    window = WindowOptions(settings.window_fps, settings.window_patches)
    return VocabularyKeeper(
        RedisWindow(client, wanted.scope, patch_size, window),
        RedisStore(client, wanted.scope, patch_size, scale),
        lease,
        scale,
        KeeperOptions(
            words=wanted.words,
            near=wanted.near,
            first_patches=_FIRST_PATCHES,
            check_every_s=settings.check_every_s,
            relearn_after_s=settings.relearn_after_s,
        ),
        tell,
    )
