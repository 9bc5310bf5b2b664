"""Follows a scope's current vocabulary from beside inference, which never waits for it."""

from __future__ import annotations

from collections.abc import Callable

from vocab.errors import StoreUnavailable, VocabularyError
from vocab.keeper import KeeperEvent
from vocab.repeating import Repeating
from vocab.store import VocabularyStore
from vocab.words import Vocabulary


class VocabularyFollower:
    """Fetches new versions in a thread of its own and keeps the one in use from expiring.

    Args:
        store: where versions come from.
        prepare: run on each new version before it is handed out, in the follower's thread; moves it to the
            device that will use it.
        every_s: seconds between looks; a new version is in use this much later at most.
        on_event: told what happens, from the follower's thread.
    """

    def __init__(
        self,
        store: VocabularyStore,
        prepare: Callable[[Vocabulary], Vocabulary] = lambda vocabulary: vocabulary,
        every_s: float = 1.0,
        on_event: Callable[[KeeperEvent], None] = lambda _event: None,
    ) -> None:
        self._store = store
        self._prepare = prepare
        self._on_event = on_event
        self._latest: Vocabulary | None = None
        self._refused: int | None = None
        self._away = False
        self._looks = Repeating(self.step, every_s, "vwt-words")

    def latest(self) -> Vocabulary | None:
        """The newest version fetched, whole; None before the first. Never waits."""
        return self._latest

    def start(self) -> None:
        """Follows until `stop`."""
        self._looks.start()

    def stop(self) -> None:
        """Ends the thread; the latest version remains."""
        self._looks.stop()

    def step(self) -> None:
        """One look: fetches the current version where it is new, holds it where it is not."""
        try:
            self._fetch()
        except StoreUnavailable as error:
            if not self._away:
                self._on_event(KeeperEvent("unavailable", f"{error}; the words at hand go on"))
            self._away = True
            return
        if self._away:
            self._away = False
            self._on_event(KeeperEvent("back", "the vocabulary store answers again"))

    def _fetch(self) -> None:
        version = self._store.current()
        if version is None or version == self._refused:
            return
        if self._latest is None or self._latest.version != version:
            try:
                self._latest = self._prepare(self._store.load(version))
            except VocabularyError as error:
                self._refused = version
                self._on_event(KeeperEvent("refused", f"{error}; the words at hand go on"))
                return
        self._store.hold(version)
