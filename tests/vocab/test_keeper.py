"""The keeper with the real window, store and lease in memory; only the clock is ours."""

import threading

import numpy as np
import pytest

from vocab.coverage import DriftLimits
from vocab.errors import StoreUnavailable
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperOptions, VocabularyKeeper
from vocab.lease import MemoryLease
from vocab.store import MemoryStore
from vocab.window import MemoryWindow, WindowOptions
from vocab.words import Normalisation, Vocabulary

P = 4
SIZE = 3 * P * P
PLAIN = Normalisation((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
OPTIONS = KeeperOptions(
    words=8, near=0.02, first_patches=64, relearn_after_s=100, rest_s=10, drift=DriftLimits(checks=2)
)


def scene(seed: int, count: int = 64) -> np.ndarray:
    """Patches of eight looks, with a little noise; another seed is another place."""
    random = np.random.default_rng(seed)
    looks = random.integers(0, 256, (8, SIZE))
    noise = random.integers(-3, 4, (count, SIZE))
    return (looks[random.integers(0, 8, count)] + noise).clip(0, 255).astype(np.uint8)


class Bench:
    """A keeper on a window of 256 patches, with its clock and what it said."""

    def __init__(self, options: KeeperOptions = OPTIONS, store=None, lease=None, window=None) -> None:
        self.now = 0.0
        self.events: list[tuple[str, str]] = []
        self.window = window or MemoryWindow(WindowOptions(patches_per_frame=64, max_patches=256), P)
        self.store = store or MemoryStore(P, PLAIN)
        self.keeper = VocabularyKeeper(
            self.window,
            self.store,
            lease or MemoryLease(),
            PLAIN,
            options,
            lambda event: self.events.append((event.kind, event.message)),
            lambda: self.now,
        )

    def look(self, at: float) -> int | None:
        self.now = at
        self.keeper.step()
        return self.store.current()

    def fill(self, seed: int) -> None:
        for part in range(4):
            self.window.add(scene(seed, 256)[part * 64 : part * 64 + 64])


def test_nothing_is_learned_before_the_window_holds_enough():
    bench = Bench()
    bench.window.add(scene(1, 63))

    assert bench.look(0) is None
    assert bench.keeper.state == "filling"
    bench.window.add(scene(1, 1))
    assert bench.look(5) == 1
    assert [kind for kind, _ in bench.events] == ["published"]


def test_words_that_still_fit_are_kept():
    bench = Bench()
    bench.fill(1)
    bench.look(0)

    assert [bench.look(at) for at in range(5, 100, 5)] == [1] * 19
    assert bench.keeper.state == "keeping"


def test_drift_brings_new_words_that_fit_the_new_scene():
    bench = Bench()
    bench.fill(1)
    bench.look(0)
    bench.fill(2)

    assert [bench.look(at) for at in (15, 20, 25)] == [1, 2, 2]
    assert "drift: 0 % of patches matched" in bench.events[-1][1]
    old, *_, new = bench.store.history()
    assert old.version == 1
    assert new.version == 2
    assert new.coverage.matched > 0.95


def test_a_passing_change_is_no_drift():
    bench = Bench()
    bench.fill(1)
    bench.look(0)
    bench.fill(2)
    bench.look(15)
    bench.fill(1)

    assert [bench.look(at) for at in (20, 25, 30)] == [1, 1, 1]


def test_however_much_drifts_there_is_a_rest_between_versions():
    bench = Bench()
    bench.fill(1)
    bench.look(0)
    bench.fill(2)

    assert [bench.look(at) for at in (2, 4, 6, 8, 10)] == [1, 1, 1, 1, 2]


def test_words_are_learned_again_at_their_age():
    bench = Bench()
    bench.fill(1)
    bench.look(0)

    assert [bench.look(at) for at in (99, 100, 150, 200)] == [1, 2, 2, 3]
    assert "age: 100 s" in bench.events[1][1]


def test_a_word_that_keeps_its_meaning_keeps_its_index():
    bench = Bench()
    bench.fill(1)
    bench.look(0)
    before = bench.store.load(1)

    bench.look(100)

    after = bench.store.load(2)
    assert before.match(after.words[None]).word[0].tolist() == list(range(8))


def test_words_from_the_first_frames_are_published_only_where_there_are_none():
    bench = Bench()
    seed = Vocabulary(np_words(1), normalisation=PLAIN)
    bench.keeper.seed(seed)

    assert bench.look(0) == 1
    bench.keeper.seed(Vocabulary(np_words(2), normalisation=PLAIN))
    assert bench.look(5) == 1


def np_words(seed: int):
    import torch

    return torch.randn(8, SIZE, generator=torch.Generator().manual_seed(seed))


class HeldElsewhere(MemoryLease):
    def acquire(self):
        return None

    def renew(self):
        return False


def test_a_keeper_without_the_lease_waits_and_learns_nothing():
    bench = Bench(lease=HeldElsewhere())
    bench.fill(1)

    assert bench.look(0) is None
    assert bench.keeper.state == "waiting"


def test_a_keeper_whose_fence_is_old_takes_the_words_of_the_newer_one():
    bench = Bench()
    bench.fill(1)
    bench.look(0)
    bench.store.publish(Vocabulary(np_words(5), normalisation=PLAIN), fence=7)

    assert [bench.look(at) for at in (15, 20, 25, 30)] == [2, 2, 2, 2]


class Flaky:
    """A store or window whose server can be switched off."""

    def __init__(self, inner) -> None:
        self._inner = inner
        self.away = False

    def __getattr__(self, name):
        if self.away:
            raise StoreUnavailable("Redis at cache:6379 does not answer")
        return getattr(self._inner, name)


def test_a_store_that_goes_away_is_said_once_and_taken_up_again_when_it_is_back():
    store = Flaky(MemoryStore(P, PLAIN))
    bench = Bench(store=store)
    bench.fill(1)
    bench.look(0)
    store.away = True
    for at in (5, 10, 15):
        bench.now = at
        bench.keeper.step()
        assert bench.keeper.state == "unavailable"
    store.away = False

    assert bench.look(20) == 1
    assert bench.keeper.state == "keeping"
    assert [kind for kind, _ in bench.events] == ["published", "unavailable", "back"]


def test_words_are_published_again_to_a_store_that_came_back_empty():
    store = Flaky(MemoryStore(P, PLAIN))
    bench = Bench(store=store)
    bench.fill(1)
    bench.look(0)
    words = store.load(1).words
    store._inner = MemoryStore(P, PLAIN)

    version = bench.look(5)

    # A new number: version 1 may still be in somebody's results.
    assert version == 2
    assert store.load(2).words.equal(words)


def test_words_that_cannot_be_read_are_never_used_and_learned_anew():
    from vocab.errors import VocabularyError

    class Damaged(MemoryStore):
        def load(self, version):
            if version == 1:
                raise VocabularyError("vocabulary version 1 is damaged")
            return super().load(version)

    store = Damaged(P, PLAIN)
    store.publish(Vocabulary(np_words(1), normalisation=PLAIN), fence=0)
    bench = Bench(store=store)
    bench.fill(1)

    assert bench.look(0) == 2
    assert [kind for kind, _ in bench.events] == ["refused", "published"]


def test_the_thread_publishes_without_being_asked_and_stops():
    published = threading.Event()
    window = MemoryWindow(WindowOptions(patches_per_frame=64, max_patches=256), P)
    window.add(scene(1))
    store = MemoryStore(P, PLAIN)
    keeper = VocabularyKeeper(
        window,
        store,
        MemoryLease(),
        PLAIN,
        OPTIONS,
        lambda event: published.set() if event.kind == "published" else None,
    )

    keeper.start()
    assert published.wait(30)
    keeper.stop()

    assert store.current() == 1
    assert "vwt-keeper" not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def store():
    return MemoryStore(P, PLAIN)


def test_a_follower_hands_out_the_newest_words_and_keeps_them_when_the_store_goes_away(store):
    flaky, events = Flaky(store), []
    follower = VocabularyFollower(flaky, on_event=lambda event: events.append(event.kind))
    follower.step()
    assert follower.latest() is None
    store.publish(Vocabulary(np_words(1), normalisation=PLAIN), fence=1)
    follower.step()
    assert follower.latest().version == 1
    flaky.away = True
    follower.step()
    follower.step()
    assert follower.latest().version == 1
    store.publish(Vocabulary(np_words(2), normalisation=PLAIN), fence=1)
    flaky.away = False
    follower.step()

    assert follower.latest().version == 2
    assert events == ["unavailable", "back"]


class Counted(MemoryWindow):
    """Counts what is read of it."""

    whole = samples = 0

    def read(self):
        self.whole += 1
        return super().read()

    def sample(self, frames):
        self.samples += 1
        return super().sample(frames)


def test_a_window_is_looked_at_when_it_has_changed_and_read_whole_to_learn_only():
    window = Counted(WindowOptions(patches_per_frame=64, max_patches=256), P)
    bench = Bench(window=window)
    window.add(scene(1, 32))
    for at in (0, 1, 2):
        bench.look(at)
    assert (window.whole, window.samples) == (0, 0)
    window.add(scene(1, 64))
    bench.look(3)
    assert (window.whole, window.samples) == (1, 0)
    for at in (5, 10, 15):
        bench.look(at)
    assert (window.whole, window.samples) == (1, 1)
    window.add(scene(1, 64))
    bench.look(20)
    assert (window.whole, window.samples) == (1, 2)
