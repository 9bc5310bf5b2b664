"""The engine on real frames with the bundled model."""

import time

import numpy as np
import pytest
import torch

from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.preprocess import Preprocessor
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.stacking import Part
from pipeline.tokenizers import (
    INTACT,
    MERGED,
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    MergeTokenizer,
)
from pipeline.warmup import learn_words


@pytest.fixture(scope="module")
def engine():
    return Engine(load_model(embedding=True))


@pytest.fixture(scope="module")
def frames(engine):
    preprocess = Preprocessor(engine.model.input)
    source = open_source(parse_source("sample:carphone"), SourceOptions(), lambda _: None)
    taken = []
    for number, decoded in enumerate(source.frames()):
        if number % 10 == 0:
            image, geometry, _ = preprocess(decoded.picture, decoded.display)
            taken.append(Frame(decoded.times, image, geometry))
    source.close()
    return taken


@pytest.fixture(scope="module")
def inter(engine, frames):
    words = learn_words(
        [frame.image for frame in frames[:6]], engine.model.input, engine.model.patch_size, 100
    )
    return InterTokenizer(words, 0.05)


def test_frames_are_normalised_as_the_model_says(engine, frames):
    spec = engine.model.input
    image = frames[0].image

    normalised = engine.normalise(torch.from_numpy(image[None]))[0]

    expected = (image / 255.0 - np.array(spec.mean)) / np.array(spec.std)
    np.testing.assert_allclose(normalised.numpy(), expected.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("kind", ["full", "intra", "inter", "merge"])
def test_a_result_does_not_depend_on_the_frames_beside_it(engine, frames, inter, kind):
    tokenizer = {
        "full": FullTokenizer(),
        "intra": IntraTokenizer(0.5),
        "inter": inter,
        "merge": MergeTokenizer(),
    }[kind]
    some = frames[6:10]

    together = engine.submit(some, tokenizer).result().frames

    for frame, among in zip(some, together, strict=True):
        (alone,) = engine.submit([frame], tokenizer).result().frames
        assert alone.tokens_kept == among.tokens_kept
        np.testing.assert_allclose(alone.prediction.embedding, among.prediction.embedding, atol=1e-4)
        assert [(r.x, r.y, r.w, r.h) for r in alone.prediction.regions] == [
            (r.x, r.y, r.w, r.h) for r in among.prediction.regions
        ]


def test_a_result_does_not_depend_on_how_the_frames_beside_it_are_tokenized(engine, frames, inter):
    coarse = InterTokenizer(inter.vocabulary, 0.3)
    parts = [
        Part(frames[6:8], inter),
        Part(frames[8:9], FullTokenizer()),
        Part(frames[9:11], IntraTokenizer(0.5)),
        Part(frames[6:8], MergeTokenizer(20)),
        Part(frames[8:9], MergeTokenizer(5)),
        Part(frames[11:12], coarse),
    ]

    together = iter(engine.submit_parts(parts).result().frames)

    for some, tokenizer, *_ in parts:
        for frame in some:
            (alone,) = engine.submit([frame], tokenizer).result().frames
            among = next(together)
            assert (alone.tokens_kept, alone.flops) == (among.tokens_kept, among.flops)
            assert alone.vocab_version == among.vocab_version == tokenizer.vocab_version
            np.testing.assert_array_equal(alone.states, among.states)
            np.testing.assert_allclose(
                among.prediction.embedding, alone.prediction.embedding, rtol=1e-5, atol=1e-5
            )
    assert next(together, None) is None


def test_outputs_say_what_became_of_each_patch_and_what_it_cost(engine, frames, inter):
    (full,) = engine.submit(frames[6:7], FullTokenizer()).result().frames
    (merged,) = engine.submit(frames[6:7], inter).result().frames

    assert (full.states == INTACT).all()
    # carphone is 11:9: 13 rows of 16 patches, and none of padding
    assert full.states.shape == (12, 16)
    intact = int((merged.states == INTACT).sum())
    assert intact < merged.tokens_kept < merged.tokens_full == 192
    planning = inter.flops(192, 14)
    assert merged.flops - planning == engine.model.flops(merged.tokens_kept, (12, 16)) < full.flops


def test_merging_between_blocks_is_counted_block_by_block(engine, frames):
    (output,) = engine.submit(frames[6:7], MergeTokenizer(15)).result().frames

    # What enters the encoder is all of it; behind the last of 12 blocks 192 - 11 * 15 tokens are left.
    assert output.tokens_kept == output.tokens_full == 192
    intact = int((output.states == INTACT).sum())
    assert intact + int((output.states == MERGED).sum()) == 192
    assert intact < 43
    kept = [192 - 15 * block for block in range(12)]
    step = MergeTokenizer(15).plan(torch.zeros(1, 3, 14, 14), 14).steps[0]
    steps = sum(step.flops(count, 6, 64) for count in kept[:-1])
    assert (
        output.flops == engine.model.flops(kept, (12, 16)) + steps < 0.7 * engine.model.flops(None, (12, 16))
    )


def test_a_span_lies_within_the_time_the_batch_took(engine, frames):
    before = time.monotonic()
    batch = engine.submit(frames[:2], FullTokenizer()).result()
    after = time.monotonic()

    assert before <= batch.start_s < batch.end_s <= after


def test_models_without_patches_have_no_tokens(frames):
    for name in ("null", "resnet18"):
        model = load_model(name, weights="random")
        (output,) = Engine(model).submit(frames[:1], FullTokenizer()).result().frames

        assert (output.tokens_full, output.tokens_kept, output.states) == (None, None, None)
