"""One keeper for every scope of this replica whose streams run, and none for others."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import VwtError
from vocab.background import step_back
from vocab.errors import StoreUnavailable
from vocab.lazy_client import LazyClient
from vocab.redis_lease import RedisLease
from vocab.repeating import Repeating
from workers.contract.messages import ModelFacts
from workers.keeper.metrics import KeeperMetrics
from workers.keeper.scopes import Scopes, Wanted
from workers.settings.schema import KeeperSettings

if TYPE_CHECKING:
    from vocab.keeper import KeeperEvent, VocabularyKeeper
    from vocab.words import Normalisation

_LOOK_EVERY_S = 1.0
# One thread serves all scopes, so a learning may keep another scope's lease from being renewed.
_LEASE_S = 60.0
# How long a step learns first words, and how long it then looks at windows that have words; the others wait
# for the next one. So neither keeps the other from its turn, however many scopes there are.
_TURN_S = 2.0


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
        self._name = f"{socket.gethostname()}:{os.getpid()}#{secrets.token_hex(4)}"
        self._scopes: Scopes | None = None
        self._settings = settings
        self._describe = describe
        self._say = say
        self._metrics = KeeperMetrics()
        self._lock = threading.Lock()
        self._kept: dict[Wanted, _Kept] = {}
        self._troubles: dict[str, str] = {}
        self._looks = Repeating(self.step, _LOOK_EVERY_S, "vwt-keepers", before=step_back)

    def start(self) -> None:
        """Looks at the streams and their windows until `stop`."""
        self._looks.start()

    def stop(self) -> None:
        """Ends the learning under way and lets others take over."""
        self._looks.stopping = True
        self._drop(set())
        self._looks.stop()
        self._drop(set())
        if self._scopes is not None:
            with suppress(StoreUnavailable):
                self._scopes.leave()

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
            wanted = self._wanted()
            self._trouble("streams", None)
        except StoreUnavailable as error:
            self._trouble("streams", f"{error}; scopes stay as they are")
            wanted = set(self._kept)
        self._drop(wanted)
        for one in sorted(wanted - set(self._kept), key=lambda one: one.scope):
            self._take(one)
        for wordless in (True, False):
            self._turn(wordless)

    def _wanted(self) -> set[Wanted]:
        if self._scopes is None:
            self._scopes = Scopes(self._redis.get(), self._name, _LEASE_S)
        return self._scopes.look(len(self._kept))

    def _turn(self, wordless: bool) -> None:
        """Looks at the windows that are due, those longest due first.

        Args:
            wordless: of scopes without words; else of the others.
        """
        now = time.monotonic()
        due = [
            (one, entry)
            for one, entry in self._kept.items()
            if entry.due_s <= now and (entry.keeper.state != "keeping") == wordless
        ]
        for one, entry in sorted(due, key=lambda pair: pair[1].due_s):
            if self._looks.stopping or time.monotonic() > now + _TURN_S:
                return
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
        # Frames run in full until there are first words: those are looked for as often as can be. Who waits
        # for another replica, which no longer has the scope, does not wait long.
        often = entry.keeper.state in ("filling", "waiting")
        pause = _LOOK_EVERY_S if often else self._settings.check_every_s
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
        # Most services have no stream that wants words.
        from workers.keeper.opening import open_keeper

        client = self._redis.get()
        lease = RedisLease(client, wanted.scope, _LEASE_S, self._name)
        keeper = open_keeper(
            client,
            wanted,
            patch_size,
            scale,
            self._settings,
            lease,
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
