"""Recall decides as its rule says, on clips made of still pictures and with a small model."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Canvas, Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.heads import LabelHead
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Place
from pipeline.stacking import Part
from pipeline.tokenizers import INTACT, RECALLED, FullTokenizer, RecallTokenizer
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stateful import Ran
from pipeline.tokenizers.stream import StreamNeeds
from tests.pipeline.counting import counting
from tests.pipeline.models.families import build
from tests.pipeline.models.test_recalling import EVERYTHING, SOME, Scripted

SIDE, PATCHES = 112, 64


@pytest.fixture(scope="module")
def engine():
    model = build("dinov2 with registers", 4)
    return Engine(PackedModel("small", model, LabelHead(None, embedding=True), InputSpec(SIDE, SIDE)))


@pytest.fixture
def tokenizer():
    return RecallTokenizer(0.98, cache="fp32")


def still(seed: int = 0, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(90, 160, (height, width, 3), dtype=np.uint8)


def changed(image: np.ndarray, *patches: int, by: int = 90) -> np.ndarray:
    """The picture with some of its patches brighter."""
    image = image.copy()
    for patch in patches:
        top, left = (14 * place for place in divmod(patch, image.shape[1] // 14))
        image[top : top + 14, left : left + 14] += np.uint8(by)
    return image


def frame_at(pts_s: float | None, image: np.ndarray, ready_at: float = 0.0) -> Frame:
    height, width, _ = image.shape
    geometry = Geometry(width, height, width, height, 1.0, 1.0, 0.0, 0.0)
    return Frame(FrameTimes(pts_s=pts_s), image, geometry, ready_at=ready_at)


def clip(*images: np.ndarray, start: float = 0.0, step: float = 0.2) -> list[Frame]:
    return [frame_at(start + step * number, image) for number, image in enumerate(images)]


def open_recall(**options):
    """As a stream gets it, by the options of the registry."""
    return TOKENIZERS["recall"].open(options, StreamNeeds()).next([])


def outputs(engine, tokenizer, frames):
    return engine.submit(frames, tokenizer).result().frames


def in_full(engine, image):
    (output,) = outputs(engine, FullTokenizer(), [frame_at(0, image)])
    return output


def decisions(engine, tokenizer, frames):
    return [output.decision for output in outputs(engine, tokenizer, frames)]


def test_the_first_frame_runs_in_full_and_gives_what_the_plain_model_gives(engine, tokenizer):
    (first,) = outputs(engine, tokenizer, clip(still()))

    expected = in_full(engine, still())
    assert first.decision == "full"
    assert first.held_ms is None
    assert first.tokens_kept == PATCHES
    assert first.share == pytest.approx(1)
    np.testing.assert_allclose(first.prediction.embedding, expected.prediction.embedding, atol=1e-5)
    assert [label.label for label in first.prediction.labels] == [
        label.label for label in expected.prediction.labels
    ]


def test_frames_in_which_nothing_changes_hold_the_last_answer_and_say_how_old_it_is(engine, tokenizer):
    first, *held = outputs(engine, tokenizer, clip(*[still()] * 4))

    assert [output.decision for output in held] == ["hold"] * 3
    assert [output.held_ms for output in held] == pytest.approx([200, 400, 600])
    for output in held:
        assert output.prediction is first.prediction
        assert output.tokens_kept == 0
        assert 0 < output.share < 0.02
        assert (output.states == RECALLED).all()


def test_an_answer_is_held_over_batches_and_its_age_counts_from_the_last_fresh_one(engine, tokenizer):
    moved = changed(still(), 20, 21)
    first, second = outputs(engine, tokenizer, clip(still(), moved))
    (third,) = outputs(engine, tokenizer, clip(moved, start=0.6))

    assert second.decision != "hold"
    assert third.decision == "hold"
    assert third.held_ms == pytest.approx(400)
    assert third.prediction is second.prediction is not first.prediction


@pytest.mark.usefixtures("trusting")
def test_positions_that_changed_run_and_the_others_are_recalled(engine, tokenizer):
    places = (3, 20, 21)

    _, second = outputs(engine, tokenizer, clip(still(), changed(still(), *places)))

    assert second.decision == "recall"
    assert second.tokens_kept == 3
    assert sorted((second.states.flatten() == INTACT).nonzero()[0].tolist()) == list(places)
    assert (second.states == RECALLED).sum() == PATCHES - 3
    assert 0.02 < second.share < 0.2
    expected = in_full(engine, changed(still(), *places))
    distance = np.linalg.norm(
        np.subtract(second.prediction.embedding, expected.prediction.embedding)
    ) / np.linalg.norm(expected.prediction.embedding)
    assert 0 < distance < 0.2


@pytest.mark.usefixtures("trusting")
def test_tokens_of_a_run_are_rounded_up_to_whole_buckets(engine):
    tokenizer = RecallTokenizer(0.98, bucket=32)

    _, second = outputs(engine, tokenizer, clip(still(), changed(still(), 3, 20, 21)))

    assert second.tokens_kept == 32 - engine.model.prefix
    assert (second.states.flatten()[[3, 20, 21]] == INTACT).all()


@pytest.mark.usefixtures("trusting")
def test_lengths_of_runs_are_few_where_they_are_rounded_up_to_buckets(engine):
    scene = [changed(still(), *range(count)) for count in (0, 1, 7, 20, 33, 50, 64)]
    tokenizer = open_recall(bucket=16)

    found = outputs(engine, tokenizer, clip(*scene))

    lengths = {output.tokens_kept + engine.model.prefix for output in found if output.decision == "recall"}
    assert len(lengths) > 1
    assert {length % 16 for length in lengths if length < PATCHES} == {0}


@pytest.mark.parametrize(("cache", "bytes_each"), [("fp32", 4), ("bf16", 2), ("int8", 1)])
def test_keys_and_values_may_be_kept_in_fewer_bits_at_nearly_the_same_answers(
    engine, tokenizer, cache, bytes_each
):
    scene = clip(*[changed(still(), *range(count)) for count in (0, 3, 9, 17)])
    narrow, model = open_recall(cache=cache), engine.model.encoder
    expected = outputs(engine, tokenizer, scene)

    found = outputs(engine, narrow, scene)

    heads, width = model.model.blocks[0].attn.inner.num_heads, model.model.embed_dim
    tokens = PATCHES + model.prefix
    smaller = 2 * model.depth * tokens * width * (4 - bytes_each)
    scales = 2 * model.depth * tokens * heads * 4 if cache == "int8" else 0
    assert tokenizer.bytes - narrow.bytes == smaller - scales
    for output, other in zip(found, expected, strict=True):
        assert (output.decision, output.tokens_kept) == (other.decision, other.tokens_kept)
        one, two = output.prediction.embedding, other.prediction.embedding
        assert np.dot(one, two) / np.linalg.norm(one) / np.linalg.norm(two) > 0.9999


def test_a_picture_that_changed_everywhere_runs_in_full(engine, tokenizer):
    _, second = outputs(engine, tokenizer, clip(still(0), still(1) + np.uint8(60)))

    assert second.decision == "full"
    assert second.share == pytest.approx(1, abs=0.01)
    expected = in_full(engine, still(1) + np.uint8(60))
    np.testing.assert_allclose(second.prediction.embedding, expected.prediction.embedding, atol=1e-5)


def talk(tokenizer, pts_s, pixels, *summaries):
    """Answers a frame in the encoder's place: with these summaries, one per run.

    Args:
        pixels: of the patches, all of a patch alike.

    Returns:
        For every run how many positions it was of, and whether they were to merge; and the decision.
    """
    patches, runs = torch.tensor(pixels, dtype=torch.float32)[:, None].expand(-1, 12), []
    count, given = len(pixels), iter(summaries)
    place = Place((1, count), (1, count))
    answer = tokenizer.answer(frame_at(pts_s, still()), place, patches)
    try:
        run = next(answer)
        while True:
            if run.memory.tokens.numel() == 0:
                run.memory.tokens = torch.zeros(1 + count, 2)
            ran = count if run.rows is None else len(run.rows)
            runs.append((ran, run.step is not None))
            group = None if run.step is None else torch.arange(count).clamp_max(count // 2)
            summary = torch.tensor(next(given), dtype=torch.float32)
            attention = torch.full((count,), 1 / count)
            run = answer.send(Ran(torch.full((ran,), 0.5), attention, summary, [ran] * 12, group=group))
    except StopIteration as last:
        assert next(given, None) is None, "more runs were expected"
        return runs, last.value.decision


def test_an_answer_that_moves_unforeseen_runs_the_rest_in_the_same_frame():
    tokenizer = RecallTokenizer(0.98)
    talk(tokenizer, 0, [0] * 100, (1, 0))

    # 60 of 100 run, and the answer turns: the 40 that are left run as well.
    runs, decision = talk(tokenizer, 1, [1] * 60 + [0] * 40, (1, 1), (0, 1))

    assert decision == "escalated"
    assert runs == [(60, False), (40, False)]


def test_where_much_would_be_left_to_run_all_positions_run_merged():
    tokenizer = RecallTokenizer(0.98)
    talk(tokenizer, 0, [0] * 100, (1, 0))

    runs, decision = talk(tokenizer, 1, [1] * 35 + [0] * 65, (1, 1), (0, 1))

    assert decision == "escalated"
    assert runs == [(35, False), (100, True)]


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("target", "turned", "expected"),
    [
        (0.9, (0, 1), "merged"),
        (0.9, (1, 0.1), "recall"),  # answers hardly move
        (0.98, (0, 1), "recall"),  # the target leaves no room
    ],
)
def test_frames_merge_where_much_changes_answers_move_and_the_target_allows_it(target, turned, expected):
    tokenizer = RecallTokenizer(target)
    talk(tokenizer, 0, [0] * 100, (1, 0))
    talk(tokenizer, 1, [2] * 100, turned)

    runs, decision = talk(tokenizer, 2, [9] * 40 + [2] * 60, turned)

    assert decision == expected
    assert runs == [(100, True) if expected == "merged" else (40, False)]


def test_answers_that_audits_found_good_do_not_let_a_frame_merge_where_the_target_leaves_no_room():
    tokenizer = RecallTokenizer(0.98)
    talk(tokenizer, 0, [0] * 100, (1, 0))
    talk(tokenizer, 1, [2] * 100, (0, 1))
    for _ in range(20):
        tokenizer._state.judge(False)

    _, decision = talk(tokenizer, 2, [9] * 40 + [2] * 60, (0, 1))

    assert decision == "recall"


@pytest.mark.usefixtures("trusting")
def test_positions_computed_in_another_context_run_again_though_their_pixels_stay():
    tokenizer = RecallTokenizer(0.98)
    talk(tokenizer, 0, [0] * 100, (1, 0))
    talk(tokenizer, 1, [2] * 90 + [0] * 10, (0.97, 0.243))  # by half of what would escalate
    talk(tokenizer, 2, [4] * 90 + [0] * 10, (0.88, 0.475))

    runs, _ = talk(tokenizer, 3, [9] + [4] * 89 + [0] * 10, (0.88, 0.475))

    assert runs == [(11, False)]


def test_a_stream_whose_answers_move_little_is_held_for_longer():
    steady, lively = RecallTokenizer(0.98), RecallTokenizer(0.98)
    for number in range(8):
        talk(steady, number, [number] * 100, (1, 0))
        talk(lively, number, [number] * 100, (1, 0) if number % 2 else (0, 1))

    assert talk(steady, 8, [7.4] * 100) == ([], "hold")
    assert talk(lively, 8, [7.4] * 100, (1, 0)) == ([(100, False)], "full")


def test_the_longer_a_stream_is_held_the_less_what_was_learned_of_it_counts():
    briefly, long = RecallTokenizer(0.98), RecallTokenizer(0.98)
    for tokenizer, still_frames in ((briefly, 1), (long, 30)):
        for number in range(8):
            talk(tokenizer, number, [number] * 100, (1, 0))
        for number in range(8, 8 + still_frames):
            assert talk(tokenizer, number, [7] * 100) == ([], "hold")

    assert talk(briefly, 9, [7.4] * 100) == ([], "hold")
    assert talk(long, 38, [7.4] * 100, (1, 0)) == ([(100, False)], "full")


@pytest.mark.usefixtures("trusting")
def test_a_stream_that_changes_everywhere_goes_over_to_merging_and_back_once_it_has_calmed_down():
    tokenizer = RecallTokenizer(0.98)
    decided = [talk(tokenizer, number, [2 * number] * 100, (1, 0)) for number in range(30)]

    merges = [decision for _, decision in decided].index("merged")
    assert 5 < merges < 15
    assert [decision for _, decision in decided] == ["full"] * merges + ["merged"] * (30 - merges)
    assert decided[-1] == ([(100, True)], "merged")

    # Half of it still changes: it merges until a while of that has shown that recall is cheaper.
    after, pixels = [], [58] * 100
    for number in range(30, 50):
        pixels = [value + 9 for value in pixels[:50]] + pixels[50:]
        after.append(talk(tokenizer, number, pixels, (1, 0)))
    recalls = [decision for _, decision in after].index("recall")
    assert recalls > 1
    assert after == [([(100, True)], "merged")] * recalls + [([(50, False)], "recall")] * (20 - recalls)


@pytest.mark.parametrize("family", ["dinov2 with registers", "eva02", "siglip image tower"])
@torch.inference_mode()
def test_running_every_position_gives_what_the_plain_model_gives_however_old_the_memory(family):
    model = build(family, 4)
    side = model.patch_embed.img_size[0]
    packed = PackedModel("small", model, LabelHead(None, embedding=True), InputSpec(side, side))
    engine, count = Engine(packed), (side // packed.patch_size) ** 2
    tokenizer = RecallTokenizer(0.98, cache="fp32", bucket=packed.prefix + count)
    seen = [still(seed, side, side) for seed in (0, 0, 1)]
    seen[1][:40, :40] += np.uint8(90)

    for frame in clip(*seen):
        (found,) = outputs(engine, tokenizer, [frame])
        (expected,) = outputs(engine, FullTokenizer(), [frame])

        assert found.tokens_kept == count
        np.testing.assert_allclose(found.prediction.embedding, expected.prediction.embedding, atol=1e-5)


def test_an_audit_tightens_when_an_answer_missed_the_target_and_loosens_a_little_when_not():
    missed, met = RecallTokenizer(0.98), RecallTokenizer(0.98)
    for tokenizer, found in ((missed, (0, 1)), (met, (1, 0))):
        talk(tokenizer, 0, [0] * 100, (1, 0))
        for number in range(1, 48):
            assert talk(tokenizer, number, [0] * 100)[1] == "hold"
        assert talk(tokenizer, 48, [0] * 100, found) == ([(100, False)], "full")

    # What one still holds, the other runs: the change of pixels is between their thresholds.
    assert talk(met, 49, [0.07] * 100)[1] == "hold"
    assert talk(missed, 49, [0.07] * 100, (0, 1))[1] != "hold"


def test_the_first_recalled_answer_is_looked_at_and_that_of_a_whole_run_is_given(engine, tokenizer):
    scene = changed(still(), 3, 20, 21)

    _, second = outputs(engine, tokenizer, clip(still(), scene))

    assert (second.decision, second.tokens_kept) == ("escalated", PATCHES)
    assert 1 < second.share < 1.2
    expected = in_full(engine, scene)
    np.testing.assert_allclose(second.prediction.embedding, expected.prediction.embedding, atol=1e-5)


def test_recalled_answers_are_looked_at_ever_more_rarely_until_one_misses():
    tokenizer = RecallTokenizer(0.98)
    talk(tokenizer, 0, [0] * 100, (1, 0))
    recalled = ([(20, False)], "recall")
    looked_at = ([(20, False), (100, False)], "escalated")

    def decided(first, looks, given, found):
        return [
            talk(tokenizer, number, [9 * number] * 20 + [0] * 80, *([given, found] if look else [given]))
            for number, look in enumerate(looks, first)
        ]

    looks = [True, False, False, True, *[False] * 4]
    expected = [looked_at if look else recalled for look in looks]
    assert decided(1, looks, (1, 0), (1, 0)) == expected
    # That nothing is missed so soon after the last look allows nothing more.
    assert tokenizer._state.eps == pytest.approx(0.02 / 3)
    assert decided(9, [True], (1, 0), (0, 1)) == [looked_at]
    assert tokenizer._state.eps < 0.015 / 3
    assert decided(10, [False, True], (0, 1), (0, 1)) == [recalled, looked_at]


def test_now_and_then_a_frame_is_answered_in_full_too(engine, tokenizer):
    found = outputs(engine, tokenizer, clip(*[still()] * 100))

    full = [number for number, output in enumerate(found) if output.decision == "full"]
    assert full == [0, 48, 96]
    assert all(found[number].share > 0.9 for number in full)
    assert all(found[number].held_ms is None for number in full)


@pytest.mark.parametrize(
    "follower",
    [
        frame_at(0.1, still()),
        frame_at(60.0, still()),
        frame_at(0.6, still(0, SIDE, SIDE - 14)),
        dataclasses.replace(
            frame_at(0.6, still()),
            geometry=Geometry(SIDE, SIDE, SIDE, SIDE, 1.0, 1.0, 0.0, 0.0, Canvas(SIDE + 28, SIDE, 14, 0)),
        ),
    ],
    ids=["a seek back", "a long gap", "another grid", "another place of the same grid"],
)
def test_a_stream_that_does_not_go_on_begins_anew(engine, tokenizer, follower):
    outputs(engine, tokenizer, clip(still(), still(), start=0.2))

    (found,) = outputs(engine, tokenizer, [follower])

    assert found.decision == "full"
    (alone,) = outputs(engine, FullTokenizer(), [follower])
    np.testing.assert_allclose(found.prediction.embedding, alone.prediction.embedding, atol=1e-5)


def test_frames_without_times_are_followed_by_when_they_came(engine, tokenizer):
    frames = [frame_at(None, still(), ready_at=10 + number) for number in range(2)]

    _, second = outputs(engine, tokenizer, [*frames])

    assert second.decision == "hold"
    assert second.held_ms == pytest.approx(1000)


def test_a_stream_that_was_dropped_pays_one_full_frame(engine, tokenizer):
    assert tokenizer.bytes == 0
    outputs(engine, tokenizer, clip(still()))
    assert tokenizer.bytes > 4 * 2 * 4 * PATCHES

    tokenizer.forget()

    assert tokenizer.bytes == 0
    assert decisions(engine, tokenizer, clip(still(), still(), start=0.2)) == ["full", "hold"]


def test_frames_of_a_batch_are_decided_one_after_the_other(engine):
    images = [changed(still(), *range(count)) for count in (0, 2, 4, 4, 5)]
    together, alone = RecallTokenizer(0.98), RecallTokenizer(0.98)

    found = outputs(engine, together, clip(*images))

    for frame, output in zip(clip(*images), found, strict=True):
        (expected,) = outputs(engine, alone, [frame])
        assert (output.decision, output.tokens_kept, output.flops) == (
            expected.decision,
            expected.tokens_kept,
            expected.flops,
        )
        np.testing.assert_allclose(output.prediction.embedding, expected.prediction.embedding, atol=1e-5)


def test_streams_that_recall_share_a_batch_with_others_that_do_not(engine):
    scenes = [[changed(still(seed), *range(count)) for count in (0, seed, 2 * seed)] for seed in (1, 2, 3)]
    streams = [(clip(*scene), RecallTokenizer(0.98)) for scene in scenes]
    plain = (clip(still(9)), FullTokenizer())
    parts = [Part(*some) for stream in streams for some in (stream, plain)]

    found = iter(engine.submit_parts(parts).result().frames)

    for frames, tokenizer, *_ in parts:
        alone = RecallTokenizer(0.98) if isinstance(tokenizer, RecallTokenizer) else tokenizer
        for expected, output in zip(outputs(engine, alone, frames), found, strict=False):
            assert (output.decision, output.tokens_kept) == (expected.decision, expected.tokens_kept)
            np.testing.assert_allclose(output.prediction.embedding, expected.prediction.embedding, atol=1e-5)


@pytest.mark.usefixtures("trusting")
def test_the_operations_of_a_recalled_frame_are_those_torch_counts(engine, tokenizer):
    # With the prefix as many tokens as run without surplus.
    frames = clip(still(), changed(still(), 3, 4, 5, 6, 20, 21, 22, 40, 41, 42, 43))
    outputs(engine, tokenizer, frames[:1])
    with counting() as counter, sdpa_kernel(SDPBackend.MATH):
        (output,) = outputs(engine, tokenizer, frames[1:])

    # What compares pixels and pays out attention is no product of matrices, or one of a single row.
    assert output.flops == pytest.approx(counter.get_total_flops(), rel=0.02)


REST = torch.arange(PATCHES)[~torch.isin(torch.arange(PATCHES), SOME)]


@pytest.mark.parametrize(
    "wishes",
    [(EVERYTHING,), (MergeStep(6),), (SOME, REST), (SOME, MergeStep(6)), (SOME, EVERYTHING)],
    ids=["full", "merged", "escalated to the rest", "escalated to a merged run", "audited"],
)
def test_operations_count_every_run_there_was_for_a_frame(engine, wishes):
    scripted = Scripted(EVERYTHING)
    outputs(engine, scripted, clip(still()))
    scripted.wishes = wishes
    with counting() as counter, sdpa_kernel(SDPBackend.MATH):
        (output,) = outputs(engine, scripted, clip(changed(still(), 3)))

    # Rows that a pass is rounded up by are no frame's: batch mates would change what it costs.
    rounding = 7 * len(wishes) * (engine.model.flops(9) - engine.model.flops(8))
    counted = counter.get_total_flops()
    assert 0.98 * counted - rounding <= output.flops <= 1.02 * counted


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": 1}, "--target 1"),
        ({"cache": "fp16"}, "--cache fp16 is not known: give fp32, bf16 or int8"),
        ({"bucket": 0}, "--bucket 0"),
    ],
)
def test_what_cannot_be_is_refused(options, says):
    with pytest.raises(UsageError, match=says):
        RecallTokenizer(**options)


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(("everywhere", "runs", "decision"), [(False, [], "hold"), (True, [1], "recall")])
def test_where_somebody_looks_at_all_positions_one_that_moved_runs_whatever_the_answer_takes_from_it(
    tokenizer, everywhere, runs, decision
):
    tokenizer.everywhere = everywhere
    talk(tokenizer, 0.0, [0.0] * 100, [1.0, 0.0])
    moved = [0.3, 0.1] + [0.0] * 98
    ran, decided = talk(tokenizer, 0.2, moved, *([[1.0, 0.0]] if runs else []))
    assert ([count for count, _ in ran], decided) == (runs, decision)
