"""Merging by visual words after the first block, and recall that merges so."""

import numpy as np
import pytest
import torch

from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Place
from pipeline.tokenizers import TOKENIZERS, FullTokenizer, InterTokenizer, RecallTokenizer, TokenPlan
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.merge_words import WordStep
from pipeline.tokenizers.stateful import Ran
from pipeline.tokenizers.steps import BlockStep
from pipeline.tokenizers.stream import GivenWords, StreamNeeds
from tests.pipeline.models.families import build, images_for
from vocab.patches import patchify
from vocab.words import Vocabulary

DEPTH = 4


@pytest.fixture(scope="module")
def model():
    return build("dinov2 with registers", DEPTH)


@pytest.fixture(scope="module")
def images(model):
    return images_for(model)


@pytest.fixture(scope="module")
def vocabulary(images):
    return Vocabulary.learn(patchify(images, 14).flatten(0, 1), 30, version=3)


def planned(encoder: PackedEncoder, images: torch.Tensor, vocabulary: Vocabulary, near: float) -> TokenPlan:
    """Every patch a token, and a step of its own for each image."""
    whole = FullTokenizer().plan(images, 14, encoder.prefix)
    steps = tuple(WordStep.of(patches, vocabulary, near) for patches in patchify(images, 14))
    return TokenPlan(whole.group, whole.kept, whole.prefix, whole.uniform, steps=steps)


def test_patches_merge_after_the_first_block_as_those_of_inter_do_before_it(model, images, vocabulary):
    encoder = PackedEncoder(model)
    expected = InterTokenizer(vocabulary, 0.3).plan(images, 14, encoder.prefix)

    trail = encoder.encode(images, planned(encoder, images, vocabulary, 0.3)).trail

    assert torch.equal(trail.plan.group, expected.group)
    kept, patches = expected.kept_list(), images.shape[0] * [expected.group.shape[1]]
    assert trail.kept == [patches, *[kept] * (DEPTH - 1)]
    assert kept < patches
    assert trail.step_flops == [2 * 64 * 588 * 30] * len(images)


def test_where_nothing_is_near_a_word_all_stays_as_it_is(model, images, vocabulary):
    encoder = PackedEncoder(model)
    plain = encoder.encode(images, FullTokenizer().plan(images, 14, encoder.prefix))

    features = encoder.encode(images, planned(encoder, images, Vocabulary(-vocabulary.words), 0.0))

    torch.testing.assert_close(
        features.plan.restore(features.tokens), plain.plan.restore(plain.tokens), atol=1e-5, rtol=0
    )


def steps(tokenizer: RecallTokenizer, images: torch.Tensor) -> list[BlockStep | None]:
    """What it wants between the blocks for each of some frames, if the answer turns around with each."""
    asked = []
    geometry = Geometry(112, 112, 112, 112, 1.0, 1.0, 0.0, 0.0)
    place = Place.filling(112, 112, 14)
    for number, patches in enumerate(patchify(images, 14)):
        frame = Frame(FrameTimes(pts_s=0.2 * number), np.zeros((112, 112, 3), np.uint8), geometry)
        talk = tokenizer.answer(frame, place, patches)
        run = next(talk)
        if number == 0:
            run.memory.tokens = torch.zeros(65, 8)
        asked.append(run.step)
        summary = torch.tensor([(-1.0) ** number, 0.1])
        ran = Ran(torch.ones(64), torch.full((64,), 1 / 64), summary, [64] * DEPTH, group=torch.arange(64))
        with pytest.raises(StopIteration):
            talk.send(ran)
    return asked


def test_recall_merges_by_words_where_it_is_told_to(images, vocabulary):
    frames = torch.cat([images[:1], -images[:1]] * 2)
    given = StreamNeeds(GivenWords(vocabulary))
    by_keys, by_words = (
        TOKENIZERS["recall"].open({"target": 0.9, "merge_words": near}, given).next([]) for near in (0, 0.3)
    )

    *_, keys = steps(by_keys, frames)
    *_, words = steps(by_words, frames)

    assert isinstance(keys, MergeStep)
    expected = InterTokenizer(vocabulary, 0.3).plan(frames[-1:], 14)
    assert torch.equal(words.group, expected.group)
    assert (by_keys.vocab_version, by_words.vocab_version) == (None, 3)
