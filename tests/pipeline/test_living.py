"""Living words with the real window, store and keeper in memory, on frames made for the purpose."""

import threading

import numpy as np
import pytest
import torch

from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.living import LivingWords
from pipeline.stream import StreamState
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stream import StreamNeeds
from pipeline.warmup import WordLearner
from vocab.errors import StoreUnavailable
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperOptions, VocabularyKeeper
from vocab.lease import MemoryLease
from vocab.store import MemoryStore
from vocab.window import MemoryWindow, PatchSampler, WindowOptions
from vocab.words import Vocabulary

P = 4
INTER = TOKENIZERS["inter"]
SPEC = InputSpec(16, 16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
SCALE = SPEC.normalisation
WINDOW = WindowOptions(frames_per_s=10, patches_per_frame=16, max_patches=64)


def frames(count: int, start: int = 0) -> list[Frame]:
    random = np.random.default_rng(start)
    return [
        Frame(
            FrameTimes(pts_s=number / 10),
            random.integers(0, 256, (16, 16, 3), np.uint8),
            Geometry(16, 16, 16, 16, 1, 1, 0, 0),
        )
        for number in range(start, start + count)
    ]


class Scene:
    """Living words on a window and a store that a test can look into."""

    def __init__(self, window=None, store=None) -> None:
        self.window = window or MemoryWindow(WINDOW, P)
        self.store = store or MemoryStore(P, SCALE)
        self.published = threading.Event()
        self.added = threading.Event()
        options = KeeperOptions(near=0.02, words=4, first_patches=10**6, check_every_s=0.01)
        self.keeper = VocabularyKeeper(
            self.window, self.store, MemoryLease(), SCALE, options, lambda _event: self.published.set()
        )
        self.follower = VocabularyFollower(self.store, every_s=0.01)
        learner = WordLearner(SPEC, P, 4, 3, wait=True, device=torch.device("cpu"), version=0)
        self.words = LivingWords(PatchSampler(WINDOW, P), self.window, self.keeper, self.follower, learner)


def test_the_first_words_come_from_the_first_frames_and_are_published():
    scene = Scene()
    with scene.words as words:
        assert words.missing == 3
        words.observe(frames(2))
        assert (words.missing, words.vocabulary()) == (1, None)
        words.observe(frames(1, 2))
        first = words.vocabulary()
        assert (len(first), first.version) == (4, 0)
        assert scene.published.wait(60)
        while words.vocabulary().version == 0:
            scene.follower.step()

        assert words.vocabulary().version == 1
        assert words.vocabulary().words.equal(first.words)


def test_a_second_stream_of_the_scope_starts_with_its_words():
    store = MemoryStore(P, SCALE)
    store.publish(Vocabulary(torch.randn(4, 3 * P * P), normalisation=SCALE), fence=1)

    with Scene(store=store).words as words:
        state = StreamState("s", INTER, INTER.open({}, StreamNeeds(words)))
        tokenizer = state.part(frames(1)).tokenizer

    assert (tokenizer.name, tokenizer.vocab_version) == ("inter", 1)


def test_the_stream_changes_over_to_new_words_between_batches():
    store = MemoryStore(P, SCALE)
    store.publish(Vocabulary(torch.randn(4, 3 * P * P), normalisation=SCALE), fence=1)
    scene = Scene(store=store)
    with scene.words as words:
        state = StreamState("s", INTER, INTER.open({}, StreamNeeds(words)))
        before = state.part(frames(1)).tokenizer
        store.publish(Vocabulary(torch.randn(5, 3 * P * P), normalisation=SCALE), fence=1)
        scene.follower.step()
        after = state.part(frames(1, 1)).tokenizer

    assert (before.vocab_version, after.vocab_version) == (1, 2)
    assert len(before.vocabulary) == 4


def test_sampled_patches_reach_the_window():
    scene = Scene()
    seen = frames(3)
    with scene.words as words:
        words.observe(seen)

    window = scene.window.read()
    assert len(window) == 48
    first = seen[0].image.reshape(4, P, 4, P, 3).transpose(0, 2, 4, 1, 3).reshape(16, -1)
    assert sorted(map(bytes, window[:16])) == sorted(map(bytes, first))


class Stuck(MemoryWindow):
    """A window whose server answers only when it is let go."""

    def __init__(self) -> None:
        super().__init__(WINDOW, P)
        self.go = threading.Event()

    def add(self, patches):
        self.go.wait(30)
        super().add(patches)


def test_a_window_that_does_not_answer_holds_up_no_frame_and_what_it_missed_is_counted():
    window = Stuck()
    with Scene(window=window).words as words:
        words.observe(frames(100))
        left_out = words.left_out
        window.go.set()

    # One with the feeder, 64 waiting, the rest left out.
    assert 35 <= left_out <= 36


class Away(MemoryWindow):
    def add(self, patches):
        raise StoreUnavailable(f"Redis does not take {len(patches)} patches")


def test_a_window_that_is_away_is_a_gap_and_no_error():
    with Scene(window=Away(WINDOW, P)).words as words:
        words.observe(frames(3))

    assert words.left_out == 3


@pytest.mark.parametrize("missing_times", [True, False])
def test_frames_without_a_time_are_sampled_by_their_arrival(missing_times):
    scene = Scene()
    untimed = [
        Frame(
            FrameTimes(pts_s=None) if missing_times else f.times,
            f.image,
            f.geometry,
            ready_at=100 + f.times.pts_s,
        )
        for f in frames(3)
    ]
    with scene.words as words:
        words.observe(untimed)

    assert scene.window.size() == 48
