"""Where published vocabularies live, so that every worker of a scope uses the same words."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from vocab.coverage import Coverage
from vocab.errors import VocabularyError
from vocab.words import Normalisation, Vocabulary

# What a person looks back on; some hours of checks.
KEPT_RECORDS = 128
_KEPT_IN_MEMORY = 8


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One published version that can still be loaded.

    Attributes:
        version: its number.
        words: how many words.
        patch_size: P of the words.
        published_at: Unix seconds by the store's clock.
    """

    version: int
    words: int
    patch_size: int
    published_at: float


@dataclass(frozen=True, slots=True)
class Record:
    """How well a version covered the window at some moment; `at` is Unix seconds by the store's clock."""

    version: int
    at: float
    coverage: Coverage


class VocabularyStore(Protocol):
    """The versions of one scope. Every method raises StoreUnavailable when the store cannot do it now."""

    def current(self) -> int | None:
        """The version to use; None while the scope has none. Cheap: ask as often as once a second."""

    def load(self, version: int) -> Vocabulary:
        """The whole of a version.

        Raises:
            VocabularyError: it is gone, damaged, foreign, or of another patch size or normalisation.
        """

    def publish(self, vocabulary: Vocabulary, fence: int) -> Vocabulary | None:
        """Makes a vocabulary the scope's current one, in one step that no reader can see a part of.

        Args:
            vocabulary: what to publish; its version, and every one published before, is below the new one.
            fence: of the lease. Only the newest fence publishes.

        Returns:
            The vocabulary with its new version; None when a newer fence was given out: nothing is written.

        Raises:
            VocabularyError: the vocabulary is of another patch size or normalisation than the store.
        """

    def hold(self, version: int) -> bool:
        """Keeps a version from expiring; call it a few times per time to live. False when it is gone."""

    def versions(self) -> list[VersionInfo]:
        """What can be loaded, oldest first."""

    def record(self, version: int, coverage: Coverage) -> None:
        """Notes how well a version covers the window; the oldest notes go."""

    def history(self, limit: int = KEPT_RECORDS) -> list[Record]:
        """The latest `limit` (1 or more) notes, oldest first."""


class MemoryStore:
    """Versions in the memory of one process; the latest few are kept.

    Args:
        patch_size: P that the scope's readers use.
        normalisation: theirs; None accepts any.
    """

    def __init__(self, patch_size: int, normalisation: Normalisation | None = None) -> None:
        self._patch_size = patch_size
        self._normalisation = normalisation
        self._versions: dict[int, tuple[Vocabulary, float]] = {}
        self._records: deque[Record] = deque(maxlen=KEPT_RECORDS)
        self._newest_fence = 0
        self._lock = threading.Lock()

    def current(self) -> int | None:
        """See `VocabularyStore`."""
        with self._lock:
            return max(self._versions, default=None)

    def load(self, version: int) -> Vocabulary:
        """See `VocabularyStore`."""
        with self._lock:
            if version not in self._versions:
                raise VocabularyError(f"vocabulary version {version} is gone; use the current one")
            return self._versions[version][0]

    def publish(self, vocabulary: Vocabulary, fence: int) -> Vocabulary | None:
        """See `VocabularyStore`."""
        check_fits(vocabulary, self._patch_size, self._normalisation, "the vocabulary to publish")
        with self._lock:
            if fence < self._newest_fence:
                return None
            self._newest_fence = fence
            version = max(vocabulary.version, *self._versions, 0) + 1
            published = Vocabulary(vocabulary.words, version, vocabulary.normalisation)
            self._versions[version] = published, time.time()
            while len(self._versions) > _KEPT_IN_MEMORY:
                del self._versions[min(self._versions)]
            return published

    def hold(self, version: int) -> bool:
        """See `VocabularyStore`. A reader's own reference keeps a version here."""
        with self._lock:
            return version in self._versions

    def versions(self) -> list[VersionInfo]:
        """See `VocabularyStore`."""
        with self._lock:
            return [
                VersionInfo(version, len(vocabulary), vocabulary.patch_size, at)
                for version, (vocabulary, at) in sorted(self._versions.items())
            ]

    def record(self, version: int, coverage: Coverage) -> None:
        """See `VocabularyStore`."""
        with self._lock:
            self._records.append(Record(version, time.time(), coverage))

    def history(self, limit: int = KEPT_RECORDS) -> list[Record]:
        """See `VocabularyStore`."""
        with self._lock:
            return list(self._records)[-limit:]


def check_fits(
    vocabulary: Vocabulary, patch_size: int | None, normalisation: Normalisation | None, name: str
) -> None:
    """Refuses a vocabulary that readers of a scope could not match their patches with; None accepts any.

    Raises:
        VocabularyError: of another patch size or normalisation.
    """
    if patch_size is not None and vocabulary.patch_size != patch_size:
        raise VocabularyError(
            f"{name} has patch size {vocabulary.patch_size}, the model {patch_size}; use another scope"
        )
    if normalisation is not None and vocabulary.normalisation != normalisation:
        raise VocabularyError(
            f"{name} was learned with {vocabulary.normalisation}, the model uses {normalisation}; "
            "use another scope"
        )
