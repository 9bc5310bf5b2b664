"""What `inter` recalls, on clips made of still pictures and with a small model."""

import numpy as np
import pytest
import torch

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.heads import LabelHead
from pipeline.models.packed import PackedModel
from pipeline.stacking import Part
from pipeline.tokenizers import (
    INTACT,
    RECALLED,
    TOKENIZERS,
    FullTokenizer,
    InterTokenizer,
    RecallingInterTokenizer,
)
from pipeline.tokenizers.stream import GivenWords, StreamNeeds
from tests.pipeline.models.families import build
from vocab.patches import patchify
from vocab.words import Vocabulary

SIDE, PATCHES, THRESHOLD = 112, 64, 0.02


@pytest.fixture(scope="module")
def engine():
    model = build("dinov2 with registers", 4)
    return Engine(PackedModel("small", model, LabelHead(None, embedding=True), InputSpec(SIDE, SIDE)))


@pytest.fixture(scope="module")
def vocabulary(engine):
    return Vocabulary.learn(patches_of(engine, scene(1)), 20, version=7)


@pytest.fixture
def tokenizer(vocabulary):
    return RecallingInterTokenizer(vocabulary, THRESHOLD, cache="fp32")


class Changing(GivenWords):
    """Words that others may follow."""

    def __init__(self, first: Vocabulary) -> None:
        self.now = first

    def vocabulary(self) -> Vocabulary:
        return self.now


def scene(seed: int = 0) -> np.ndarray:
    """Patches with strong lines of their own, some in the same direction."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(20, 200, (8, 8, 1, 14, 3))
        .repeat(14, 2)
        .swapaxes(1, 2)
        .reshape(SIDE, SIDE, 3)
        .astype(np.uint8)
    )


def patches_of(engine: Engine, image: np.ndarray) -> torch.Tensor:
    return patchify(engine.normalise(torch.from_numpy(image)[None]), 14)[0]


def at(patch: int) -> tuple[slice, slice]:
    top, left = (14 * place for place in divmod(patch, SIDE // 14))
    return slice(top, top + 14), slice(left, left + 14)


def with_patch(image: np.ndarray, patch: int, pixels: np.ndarray) -> np.ndarray:
    image = image.copy()
    image[at(patch)] = pixels
    return image


def clip(*images: np.ndarray, start: float = 0.0) -> list[Frame]:
    geometry = Geometry(SIDE, SIDE, SIDE, SIDE, 1.0, 1.0, 0.0, 0.0)
    return [
        Frame(FrameTimes(pts_s=start + 0.2 * number), image, geometry) for number, image in enumerate(images)
    ]


def outputs(engine, tokenizer, frames):
    return engine.submit(frames, tokenizer).result().frames


def computed(output) -> list[int]:
    """Patches that ran."""
    return (output.states.flatten() == INTACT).nonzero()[0].tolist()


def test_the_first_frame_runs_in_full_and_still_ones_hold_its_answer(engine, tokenizer):
    first, *held = outputs(engine, tokenizer, clip(*[scene()] * 3))

    (expected,) = outputs(engine, FullTokenizer(), clip(scene()))
    assert (first.decision, first.tokens_kept, first.held_ms) == ("full", PATCHES, None)
    np.testing.assert_allclose(first.prediction.embedding, expected.prediction.embedding, atol=1e-5)
    assert [output.decision for output in held] == ["hold"] * 2
    assert [output.held_ms for output in held] == pytest.approx([200, 400])
    assert all((output.states == RECALLED).all() for output in held)
    assert {output.vocab_version for output in (first, *held)} == {7}


def test_patches_that_changed_their_word_run_and_the_others_are_recalled(engine, tokenizer):
    moved = with_patch(scene(), 20, scene()[at(45)])

    _, second = outputs(engine, tokenizer, clip(scene(), moved))

    assert (second.decision, second.tokens_kept) == ("recall", 1)
    assert computed(second) == [20]
    assert 0 < second.share < 0.2


def test_which_patches_run_is_as_the_rule_says_patch_by_patch(engine, tokenizer, vocabulary):
    rng = np.random.default_rng(3)
    before = scene()
    after = before.copy()
    for patch in range(PATCHES):
        noise = rng.normal(0, 0.5 * patch, (14, 14, 3))
        after[at(patch)] = np.clip(before[at(patch)] + noise, 0, 255).astype(np.uint8)

    _, second = outputs(engine, tokenizer, clip(before, after))

    expected = []
    for patch, (old, new) in enumerate(
        zip(patches_of(engine, before), patches_of(engine, after), strict=True)
    ):
        to_words = [float(1 - word @ new / (word.norm() * new.norm())) for word in vocabulary.words]
        from_words = [float(1 - word @ old / (word.norm() * old.norm())) for word in vocabulary.words]
        word = int(np.argmin(from_words))
        other = to_words[word] > min(to_words) + 0.1 * THRESHOLD
        moved = float((new - old).square().sum() / (2 * new.norm() * old.norm())) > THRESHOLD
        if other or moved:
            expected.append(patch)
    assert 0 < len(expected) < PATCHES
    assert computed(second) == expected


def test_a_light_that_goes_on_is_seen_though_every_word_stays(engine, tokenizer, vocabulary):
    mean = np.float32(255) * np.asarray(engine.model.input.mean)
    brighter = np.clip(mean + 1.4 * (scene()[at(9)] - mean), 0, 255).astype(np.uint8)
    after = with_patch(scene(), 9, brighter)
    words = [vocabulary.match(patches_of(engine, image)).word for image in (scene(), after)]
    assert torch.equal(*words)

    _, second = outputs(engine, tokenizer, clip(scene(), after))

    assert computed(second) == [9]


def test_a_patch_between_two_words_does_not_run_for_going_back_and_forth(engine):
    images = [with_patch(scene(), 5, np.roll(scene()[at(5)], 0) ^ np.uint8(flip)) for flip in (0, 1, 0, 1)]
    patches = [patches_of(engine, image)[5] for image in images[:2]]
    # Words on either side of the patch, each nearest to one of its two looks by next to nothing.
    apart = patches[1] - patches[0]
    tokenizer = RecallingInterTokenizer(
        Vocabulary(torch.stack([patches[0] - apart, patches[1] + apart])), THRESHOLD, cache="fp32"
    )
    looks = [int(tokenizer.vocabulary.match(look[None]).word) for look in patches]
    assert looks == [0, 1]

    found = outputs(engine, tokenizer, clip(*images))

    assert [output.decision for output in found] == ["full", "hold", "hold", "hold"]


def test_a_picture_that_changed_everywhere_runs_in_full(engine, tokenizer):
    _, second = outputs(engine, tokenizer, clip(scene(0), scene(5)))

    (expected,) = outputs(engine, FullTokenizer(), clip(scene(5)))
    assert second.decision == "full"
    np.testing.assert_allclose(second.prediction.embedding, expected.prediction.embedding, atol=1e-5)


def test_now_and_then_all_of_a_still_picture_runs(engine, tokenizer):
    found = outputs(engine, tokenizer, clip(*[scene()] * 100))

    assert [number for number, output in enumerate(found) if output.decision == "full"] == [0, 48, 96]


@pytest.mark.parametrize("start", [0.1, 60.0], ids=["a seek back", "a long gap"])
def test_a_stream_that_does_not_go_on_begins_anew(engine, tokenizer, start):
    outputs(engine, tokenizer, clip(scene(), scene(), start=0.2))

    (found,) = outputs(engine, tokenizer, clip(scene(), start=start))

    assert found.decision == "full"


def test_a_stream_that_was_dropped_pays_one_full_frame(engine, tokenizer):
    assert tokenizer.bytes == 0
    outputs(engine, tokenizer, clip(scene()))
    assert tokenizer.bytes > 4 * 2 * 4 * PATCHES

    tokenizer.forget()

    assert tokenizer.bytes == 0
    found = outputs(engine, tokenizer, clip(scene(), scene(), start=0.2))
    assert [output.decision for output in found] == ["full", "hold"]


def test_newer_words_cost_one_full_frame_and_what_was_kept_by_older_ones_goes(engine, vocabulary):
    source = Changing(vocabulary)
    stream = TOKENIZERS["inter"].open({}, StreamNeeds(source))
    before = stream.next([])
    outputs(engine, before, clip(scene()))
    assert stream.bytes == before.bytes > 0
    source.now = Vocabulary(vocabulary.words.flip(0), 8)

    after = stream.next([])

    assert stream.bytes == 0
    found = outputs(engine, after, clip(scene(), scene(), start=0.2))
    assert [(output.decision, output.vocab_version) for output in found] == [("full", 8), ("hold", 8)]
    stream.forget()
    assert stream.bytes == 0


def test_streams_share_a_pass_as_if_each_were_alone(engine, vocabulary):
    scenes = [clip(scene(seed), with_patch(scene(seed), seed, scene()[at(45)])) for seed in (2, 3)]
    parts = [Part(frames, RecallingInterTokenizer(vocabulary, THRESHOLD)) for frames in scenes]

    found = iter(engine.submit_parts(parts).result().frames)

    for frames, *_ in parts:
        for expected in outputs(engine, RecallingInterTokenizer(vocabulary, THRESHOLD), frames):
            output = next(found)
            assert (output.decision, output.tokens_kept) == (expected.decision, expected.tokens_kept)
            np.testing.assert_allclose(output.prediction.embedding, expected.prediction.embedding, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "form"),
    [
        ({}, RecallingInterTokenizer),
        ({"exact": True}, InterTokenizer),
        ({"count_sizes": True}, InterTokenizer),
    ],
)
def test_the_papers_form_is_had_by_asking_for_it_or_for_what_only_it_does(vocabulary, options, form):
    tokenizer = (
        TOKENIZERS["inter"].open({"threshold": 0.3, **options}, StreamNeeds(GivenWords(vocabulary))).next([])
    )

    assert isinstance(tokenizer, form)
    assert tokenizer.threshold == 0.3
    assert getattr(tokenizer, "count_sizes", False) == ("count_sizes" in options)


def test_a_threshold_that_no_distance_could_have_is_refused(vocabulary):
    with pytest.raises(UsageError, match="--threshold 3"):
        RecallingInterTokenizer(vocabulary, 3)
