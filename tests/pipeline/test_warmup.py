import threading

import numpy as np
import pytest
import torch

from pipeline import warmup
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.warmup import WordLearner, learn_words
from tests.pipeline.outputs.examples import clip_frames
from vocab.errors import VocabularyError
from vocab.patches import patchify
from vocab.words import Normalisation, Vocabulary

# 4 patches of 14 pixels to a frame.
SPEC = InputSpec(28, 28)
GEOMETRY = Geometry(28, 28, 28, 28, 1, 1, 0, 0)
CPU = torch.device("cpu")
PATIENCE_S = 30


def frames(count: int, seed: int = 0) -> list[Frame]:
    noise = np.random.default_rng(seed)
    return [
        Frame(FrameTimes(pts_s=number / 10), noise.integers(0, 256, (28, 28, 3), dtype=np.uint8), GEOMETRY)
        for number in range(count)
    ]


def learner(words: int = 3, count: int = 4, wait: bool = True) -> WordLearner:
    return WordLearner(SPEC, 14, words, count, wait, CPU)


def images(count: int) -> list[np.ndarray]:
    return [frame.image for frame in frames(count)]


def test_words_are_learned_from_pixels_normalised_as_the_model_does() -> None:
    one = np.full((14, 14, 3), (255, 0, 51), np.uint8)
    vocabulary = learn_words([one], InputSpec(14, 14), 14, words=1)
    expected = [(v - m) / s for v, m, s in zip((1, 0, 0.2), SPEC.mean, SPEC.std, strict=True)]
    assert vocabulary.words.view(3, -1).mean(dim=1).tolist() == pytest.approx(expected, abs=1e-5)
    assert vocabulary.normalisation == Normalisation(SPEC.mean, SPEC.std)
    assert vocabulary.patch_size == 14


def test_every_patch_of_real_frames_is_near_a_word_when_each_has_its_own() -> None:
    pictures = [
        frame.picture[:140, :140].copy() for frame in clip_frames("carphone_pristine.mp4", [0.0, 0.1])
    ]
    spec = InputSpec(140, 140)
    vocabulary = learn_words(pictures, spec, 14, words=200)
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor(spec.mean).view(3, 1, 1), torch.tensor(spec.std).view(3, 1, 1)
    distance = vocabulary.match(patchify((pixels - mean) / std, 14)).distance
    assert distance.max() < 0.02


def test_equal_frames_and_seed_give_equal_words() -> None:
    one, two = (learn_words(images(4), SPEC, 14, words=5, seed=3) for _ in range(2))
    assert torch.equal(one.words, two.words)
    assert not torch.equal(one.words, learn_words(images(4), SPEC, 14, words=5, seed=4).words)


def test_fewer_patches_than_words_give_fewer_words_or_are_refused() -> None:
    assert len(learn_words(images(1), SPEC, 14, words=9)) == 4
    with pytest.raises(VocabularyError, match="9 words cannot be learned from 4 patches"):
        learn_words(images(1), SPEC, 14, words=9, strict=True)


def test_learning_begins_once_enough_frames_were_seen() -> None:
    learning = learner(count=4)
    learning.observe(frames(3))
    assert learning.missing == 1
    assert learning.vocabulary() is None
    learning.observe(frames(3, seed=1))
    assert learning.missing == 0
    vocabulary = learning.vocabulary()
    assert vocabulary is not None
    assert vocabulary.version == 1
    assert len(vocabulary) == 3


def test_frames_beyond_the_warm_up_change_nothing() -> None:
    exact, over = learner(count=4), learner(count=4)
    exact.observe(frames(4))
    over.observe(frames(4) + frames(2, seed=9))
    over.observe(frames(3, seed=8))
    first, second = exact.vocabulary(), over.vocabulary()
    assert first is not None
    assert second is not None
    assert torch.equal(first.words, second.words)


def test_a_live_stream_does_not_wait_for_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def slowly(*arguments: object, **settings: object) -> Vocabulary:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        try:
            return learn_words(*arguments, **settings)
        finally:
            done.set()

    monkeypatch.setattr(warmup, "learn_words", slowly)
    learning = learner(wait=False)
    learning.observe(frames(4))
    assert begun.wait(PATIENCE_S)
    assert learning.vocabulary() is None
    assert learning.missing == 0
    go_on.set()
    assert done.wait(PATIENCE_S)
    while (vocabulary := learning.vocabulary()) is None:
        pass
    assert len(vocabulary) == 3


def test_what_goes_wrong_in_learning_is_told_to_who_asks_for_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> Vocabulary:
        raise VocabularyError("the patches hold numbers that are not finite")

    monkeypatch.setattr(warmup, "learn_words", fails)
    learning = learner()
    learning.observe(frames(4))
    with pytest.raises(VocabularyError, match="not finite"):
        learning.vocabulary()
