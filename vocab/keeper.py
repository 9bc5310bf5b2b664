"""Keeps a scope's vocabulary fresh: relearns from the window on drift or age, and publishes versions."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch

from vocab.background import step_back
from vocab.coverage import Coverage, DriftDetector, DriftLimits
from vocab.errors import StoreUnavailable, VocabularyError
from vocab.lease import Lease
from vocab.repeating import Repeating
from vocab.store import VocabularyStore
from vocab.window import Patches, RollingWindow
from vocab.words import Normalisation, Vocabulary

KeeperState = Literal["starting", "filling", "keeping", "waiting", "unavailable"]
# Coverage is a share: this many patches give it to about one percent.
_JUDGED_PATCHES = 8192
# Of a look that may lead to nothing: frames, of 64 patches each by default, of a window of hundreds.
_JUDGED_FRAMES = 32


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """When a vocabulary is learned again.

    Attributes:
        near: cosine distance up to which a patch counts as matched; that of the tokenizer.
        words: how many words.
        first_patches: patches the window must hold before words are first learned from it.
        check_every_s: seconds between looks at the window.
        relearn_after_s: age at which words are learned again without any drift.
        rest_s: least time between two versions, however much drifts; `relearn_after_s` where that is shorter.
        drift: what counts as drift.
    """

    near: float
    words: int = 1000
    first_patches: int = 2048
    check_every_s: float = 5.0
    relearn_after_s: float = 600.0
    rest_s: float = 30.0
    drift: DriftLimits = field(default_factory=DriftLimits)


@dataclass(frozen=True, slots=True)
class KeeperEvent:
    """Something to tell a person or a log, said once: "published", "unavailable", "back", "refused"."""

    kind: str
    message: str


class VocabularyKeeper:
    """Relearns and publishes while it holds the scope's lease; several may run, one of them works.

    Args:
        window: what to learn from.
        store: where versions go.
        lease: who may publish.
        normalisation: of the patches, recorded with the words.
        options: when to relearn.
        on_event: told what happens, from the keeper's thread.
        clock: seconds, monotonic.

    Attributes:
        state: "starting", "filling" (too few patches for a first version), "keeping", "waiting" (another
            keeper holds the lease) or "unavailable" (the store does not answer).
        learn_s: seconds the last learning took; None before.
        coverage: of the window by the current words, at the last look; None before.
    """

    def __init__(
        self,
        window: RollingWindow,
        store: VocabularyStore,
        lease: Lease,
        normalisation: Normalisation,
        options: KeeperOptions,
        on_event: Callable[[KeeperEvent], None] = lambda _event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.state: KeeperState = "starting"
        self.learn_s: float | None = None
        self.coverage: Coverage | None = None
        self._window = window
        self._store = store
        self._lease = lease
        self._normalisation = normalisation
        self._options = options
        self._on_event = on_event
        self._clock = clock
        self._drift = DriftDetector(self._options.drift)
        self._fence: int | None = None
        self._current: Vocabulary | None = None
        self._since = 0.0
        self._refused: int | None = None
        # What the last look saw: version and newest entry.
        self._seen: tuple[int | None, str] | None = None
        self._seed: Vocabulary | None = None
        self._looks = Repeating(self.step, self._options.check_every_s, "vwt-keeper", before=step_back)

    def start(self) -> None:
        """Looks at the window again and again in a thread of its own."""
        self._looks.start()

    def stop(self) -> None:
        """Ends the thread, after the learning under way, and lets another keeper take over."""
        self._looks.stop()
        if self._fence is not None:
            self._fence = None
            try:
                self._lease.release()
            except StoreUnavailable:
                pass  # it runs out by itself

    def seed(self, vocabulary: Vocabulary) -> None:
        """Offers words learned elsewhere; published at the next look if the scope has none by then."""
        self._seed = vocabulary
        self._looks.wake()

    def step(self) -> None:
        """One look: takes or renews the lease, judges the current words, learns new ones when due."""
        try:
            if not self._holds_lease():
                self._turn("waiting")
                return
            self._turn("keeping" if self._adopt() else "filling")
            self._keep()
        except StoreUnavailable as error:
            self._fence = None
            if self.state != "unavailable":
                self._on_event(KeeperEvent("unavailable", f"{error}; the words at hand go on"))
            self.state = "unavailable"

    def _turn(self, state: KeeperState) -> None:
        if self.state == "unavailable":
            self._on_event(KeeperEvent("back", "the vocabulary store answers again"))
        self.state = state

    def _holds_lease(self) -> bool:
        if self._fence is not None and self._lease.renew():
            return True
        self._fence = self._lease.acquire()
        return self._fence is not None

    def _adopt(self) -> bool:
        """Takes over the scope's current words where they are not ours; False where there are none to use."""
        version = self._store.current()
        if version is None:
            # The store may have come back empty: what we hold is as good as new.
            if self._current is not None:
                self._publish(self._current, None, "again: the store had lost them")
            elif self._seed is not None:
                self._publish(self._seed, None, "from the first frames")
            return self._current is not None
        if self._current is None or self._current.version != version:
            if version == self._refused:
                return False
            try:
                self._current = self._store.load(version)
            except VocabularyError as error:
                self._refused = version
                self._on_event(KeeperEvent("refused", f"{error}; new words are learned from scratch"))
                self._current = None
                return False
            self._since = self._clock()
            self._drift = DriftDetector(self._options.drift)
        self._store.hold(version)
        return True

    def _keep(self) -> None:
        newest = self._window.newest()
        if newest is None:
            return
        seen = (None if self._current is None else self._current.version, newest)
        changed, self._seen = seen != self._seen, seen
        if self._current is None:
            if changed:
                self._learn_from(max(self._options.first_patches, self._options.words), "first words")
            return
        if changed or self.coverage is None:
            self.coverage = self._cover(self._current, self._scaled(self._window.sample(_JUDGED_FRAMES)))
            self._store.record(self._current.version, self.coverage)
        coverage = self.coverage
        drifted = self._drift.drifted(coverage)
        age = self._clock() - self._since
        if age < min(self._options.rest_s, self._options.relearn_after_s):
            return
        if drifted:
            self._learn_from(self._options.words, f"drift: {100 * coverage.matched:.0f} % of patches matched")
        elif age >= self._options.relearn_after_s:
            self._learn_from(self._options.words, f"age: {age:.0f} s")

    def _learn_from(self, least: int, why: str) -> None:
        """Learns from the whole window where it holds that many patches."""
        if self._window.size() < least:
            return
        pixels = self._window.read()
        if len(pixels) >= least:
            self._learn(self._scaled(pixels), why)

    def _learn(self, patches: torch.Tensor, why: str) -> None:
        options, current = self._options, self._current
        started = self._clock()
        learned = Vocabulary.learn(
            patches,
            options.words,
            initial=current if current is not None and len(current) <= options.words else None,
            normalisation=self._normalisation,
            should_stop=lambda: self._looks.stopping,
        )
        self.learn_s = self._clock() - started
        if self._looks.stopping:
            return
        self._publish(learned, patches, why)

    def _publish(self, vocabulary: Vocabulary, patches: torch.Tensor | None, why: str) -> None:
        assert self._fence is not None
        published = self._store.publish(vocabulary, self._fence)
        if published is None:  # another keeper took over meanwhile: its words count
            self._fence = None
            return
        self._current, self._since = published, self._clock()
        self._drift = DriftDetector(self._options.drift)
        if patches is not None:
            coverage = self._cover(published, patches)
            self._drift.learned(coverage)
            self._store.record(published.version, coverage)
        self._on_event(
            KeeperEvent("published", f"words version {published.version} ({len(published)} words; {why})")
        )

    def _scaled(self, pixels: Patches) -> torch.Tensor:
        scaled = torch.from_numpy(pixels).to(torch.float32).view(len(pixels), 3, -1) / 255
        mean, std = (
            torch.tensor(values)[:, None] for values in (self._normalisation.mean, self._normalisation.std)
        )
        return ((scaled - mean) / std).flatten(1)

    def _cover(self, vocabulary: Vocabulary, patches: torch.Tensor) -> Coverage:
        step = max(1, len(patches) // _JUDGED_PATCHES)
        return Coverage.of(vocabulary, patches[::step], self._options.near)
