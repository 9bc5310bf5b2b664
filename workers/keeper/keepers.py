"""One keeper for every scope whose streams run, and none for others."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pipeline.errors import VwtError
from pipeline.tokenizers.registry import TOKENIZERS
from vocab.background import step_back
from vocab.errors import StoreUnavailable
from vocab.keeper import KeeperEvent, KeeperOptions, VocabularyKeeper
from vocab.lazy_client import LazyClient
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.repeating import Repeating
from vocab.window import WindowOptions
from vocab.words import Normalisation
from workers.contract.messages import ModelFacts
from workers.contract.stream_store import StreamStore
from workers.keeper.metrics import KeeperMetrics
from workers.settings.schema import KeeperSettings

_LOOK_EVERY_S = 1.0
# One thread serves all scopes, so a learning may keep another scope's lease from being renewed.
_LEASE_S = 60.0
# A stream writes 32 patches a second to its window: half a minute without words. The drift that words
# of so few show brings better ones.
_FIRST_PATCHES = 1024
_USED_IN = ("starting", "running", "reconnecting")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a scope's words are for: the settings of its oldest stream."""

    scope: str
    model: str
    words: int
    near: float


@dataclass(slots=True)
class _Kept:
    keeper: VocabularyKeeper
    due_s: float = 0.0


class Keepers:
    """Learns the words of all scopes in use, one after the other, in one thread of the lowest priority.

    Args:
        url: of Redis; it may be away, also at the start.
        settings: when words are learned again.
        describe: facts of a model by name; may raise a VwtError, and is then asked again later.
        say: told what happens, from the thread.
    """

    def __init__(
        self,
        url: str,
        settings: KeeperSettings,
        describe: Callable[[str], ModelFacts],
        say: Callable[[str], None],
    ) -> None:
        self._redis = LazyClient(url)
        self._settings = settings
        self._describe = describe
        self._say = say
        self._metrics = KeeperMetrics()
        self._lock = threading.Lock()
        self._kept: dict[Wanted, _Kept] = {}
        self._troubles: dict[str, str] = {}
        self._looks = Repeating(self.step, _LOOK_EVERY_S, "vwt-keepers", before=_step_back)

    def start(self) -> None:
        """Looks at the streams and their windows until `stop`."""
        self._looks.start()

    def stop(self) -> None:
        """Ends the learning under way and lets others take over."""
        self._looks.stopping = True
        self._drop(set())
        self._looks.stop()
        self._drop(set())

    def scopes(self) -> list[dict[str, Any]]:
        """What is kept: scope, model, words, state of the keeper, and how long the last learning took."""
        with self._lock:
            kept = list(self._kept.items())
        return [
            {
                "scope": wanted.scope,
                "model": wanted.model,
                "words": wanted.words,
                "state": entry.keeper.state,
                "learn_s": entry.keeper.learn_s,
            }
            for wanted, entry in kept
        ]

    def step(self) -> None:
        """One look at the streams, and at every window that is due."""
        try:
            wanted = wanted_scopes(StreamStore(self._redis.get()))
            self._trouble("streams", None)
        except StoreUnavailable as error:
            self._trouble("streams", f"{error}; scopes stay as they are")
            wanted = set(self._kept)
        self._drop(wanted)
        for one in sorted(wanted - set(self._kept), key=lambda one: one.scope):
            self._take(one)
        for one, entry in list(self._kept.items()):
            if self._looks.stopping:
                return
            if time.monotonic() >= entry.due_s:
                self._look(one, entry)

    def _look(self, wanted: Wanted, entry: _Kept) -> None:
        keeper, learned_before = entry.keeper, entry.keeper.learn_s
        try:
            keeper.step()
            self._trouble(wanted.scope, None)
            if keeper.state == "unavailable":
                self._metrics.failed()
        except VwtError as error:
            self._failed(wanted.scope, f"{error}")
        except Exception as error:  # what is wrong with one scope must not end the others' thread
            self._failed(wanted.scope, f"{type(error).__name__}: {error}")
        if keeper.learn_s is not None and keeper.learn_s != learned_before:
            self._metrics.learned(keeper.learn_s)
        if keeper.state == "keeping" and keeper.coverage is not None:
            self._metrics.matched(wanted.scope, keeper.coverage.matched)
        # Frames run in full until there are first words: those are looked for as often as can be.
        pause = _LOOK_EVERY_S if entry.keeper.state == "filling" else self._settings.check_every_s
        entry.due_s = time.monotonic() + pause

    def _take(self, wanted: Wanted) -> None:
        try:
            inputs = self._describe(wanted.model).inputs
            if inputs.patch_size is not None:
                self._keep(wanted, inputs.patch_size, inputs.own.normalisation)
            self._trouble(wanted.scope, None)
        except (VwtError, StoreUnavailable) as error:
            self._failed(wanted.scope, f"no words can be learned: {error}")

    def _keep(self, wanted: Wanted, patch_size: int, scale: Normalisation) -> None:
        client, settings = self._redis.get(), self._settings
        window = WindowOptions(settings.window_fps, settings.window_patches)
        keeper = VocabularyKeeper(
            RedisWindow(client, wanted.scope, patch_size, window),
            RedisStore(client, wanted.scope, patch_size, scale),
            RedisLease(client, wanted.scope, _LEASE_S, f"{socket.gethostname()}:{os.getpid()}"),
            scale,
            KeeperOptions(
                words=wanted.words,
                near=wanted.near,
                first_patches=_FIRST_PATCHES,
                check_every_s=settings.check_every_s,
                relearn_after_s=settings.relearn_after_s,
            ),
            lambda event: self._happened(wanted.scope, event),
        )
        with self._lock:
            self._kept[wanted] = _Kept(keeper)

    def _failed(self, scope: str, why: str) -> None:
        self._metrics.failed()
        self._trouble(scope, f"{scope}: {why}")

    def _happened(self, scope: str, event: KeeperEvent) -> None:
        if event.kind == "published":
            self._metrics.published()
        self._say(f"{scope}: {event.message}")

    def _drop(self, wanted: set[Wanted]) -> None:
        with self._lock:
            gone = {one: self._kept.pop(one) for one in set(self._kept) - wanted}
        for entry in gone.values():
            entry.keeper.stop()

    def _trouble(self, about: str, what: str | None) -> None:
        """Says what is wrong once, not at every look."""
        if what is None:
            self._troubles.pop(about, None)
        elif self._troubles.get(about) != what:
            self._troubles[about] = what
            self._say(what)


def wanted_scopes(store: StreamStore) -> set[Wanted]:
    """The scopes whose words running streams need.

    Raises:
        StoreUnavailable: Redis cannot say now.
    """
    specs = [spec for spec in store.all().values() if not spec.paused]
    statuses = store.statuses([spec.id for spec in specs])
    used = [
        (spec, kind)
        for spec, status in zip(specs, statuses, strict=True)
        if status.state in _USED_IN
        and (kind := TOKENIZERS.get(spec.tokenizer or status.tokenizer or "")) is not None
        and kind.wants_words(spec.options)
    ]
    oldest: dict[str, Wanted] = {}
    for spec, kind in sorted(used, key=lambda pair: (pair[0].created_at, pair[0].id)):
        wanted = Wanted(spec.word_scope, spec.model, spec.words, kind.near_of(spec.options))
        oldest.setdefault(spec.word_scope, wanted)
    return set(oldest.values())


def _step_back() -> None:
    step_back()
    torch.set_num_threads(1)
