"""Passes of few sizes, run on the CPU as a GPU would replay them, against the same blocks in torch."""

import threading

import numpy as np
import pytest
import torch

from pipeline.engine import Engine
from pipeline.first_passes import warm_up
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext
from pipeline.models.encoder import PackedEncoder
from pipeline.models.heads import EmbeddingHead
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Place
from pipeline.models.runtimes.base import Blocks, Runtime
from pipeline.models.runtimes.graphs_runtime import GraphsRuntime, Size, open_graphs
from pipeline.runtimes import FP32, UnavailableError
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, MergeTokenizer
from pipeline.tokenizers.recall import RecallTokenizer
from tests.pipeline.models.families import FAMILIES, build
from vocab.words import Vocabulary

CPU = torch.device("cpu")
# In the same buffers: 52 rows fill up the one, 26 the other.
FEWER, MORE = [70, 30, 40], [80, 90, 60]
FULL_SIZES = ([16], [40, 24], [50, 51, 27], [9] * 8 + [184])
NEAR = 1e-5

Inputs = tuple[torch.Tensor, AttentionContext, torch.Tensor | None]


def both(family: str = "vit") -> tuple[PackedEncoder, GraphsRuntime]:
    """The family's blocks in torch, and a copy of them in passes."""
    model = build(family)
    encoder = PackedEncoder(model)
    return encoder, open_graphs(Blocks.of(model).copy(), FP32)


def inputs(encoder: PackedEncoder, lengths: list[int], scale: float = 1.0) -> Inputs:
    generator = torch.Generator().manual_seed(sum(lengths))
    tokens = scale * torch.randn(sum(lengths), encoder.model.embed_dim, generator=generator)
    table = encoder.positions.rotation(Place(encoder.grid, encoder.grid))
    if table is not None:
        table = table[torch.randint(len(table), (sum(lengths),), generator=generator)]
    return tokens, AttentionContext(Segments.of(lengths, CPU)), table


def apart(result: torch.Tensor, truth: torch.Tensor) -> float:
    assert result.shape == truth.shape
    return float((result - truth).abs().max() / truth.abs().max())


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_passes_give_what_torch_gives_at_any_length_in_any_order(family):
    encoder, graphs = both(family)
    for lengths in (MORE, FEWER, [20], *FULL_SIZES, [1], [5] * 11, FEWER):
        given = inputs(encoder, lengths)
        assert apart(graphs.forward(*given), encoder.runtime.forward(*given)) < NEAR, lengths
    assert all(Size.of(len(lengths), sum(lengths)).tokens == sum(lengths) for lengths in FULL_SIZES)


@pytest.mark.parametrize("family", ["vit", "dinov3"])
@pytest.mark.parametrize("scale", [1e4, torch.nan])
@torch.inference_mode()
def test_what_a_longer_batch_left_behind_is_attended_to_by_nobody(family, scale):
    encoder, graphs = both(family)
    fewer, more = inputs(encoder, FEWER), inputs(encoder, MORE, scale)
    truth = encoder.runtime.forward(*fewer)
    before = graphs.forward(*fewer)

    graphs.forward(*more)

    assert torch.equal(graphs.forward(*fewer), before)
    assert apart(before, truth) < NEAR
    # And it would show: here the last image has some of it.
    left, filled = more[0][sum(FEWER) : Size.of(3, sum(FEWER)).tokens], [*FEWER[:2], FEWER[2] + 52]
    _, context, rope = inputs(encoder, filled)
    leaking = encoder.runtime.forward(torch.cat([fewer[0], left]), context, rope)
    assert not apart(leaking[: sum(FEWER)], truth) < 10 * NEAR


@torch.inference_mode()
def test_a_result_is_not_written_over_by_the_next():
    encoder, graphs = both()
    first = graphs.forward(*inputs(encoder, FEWER))
    copied = first.clone()

    graphs.forward(*inputs(encoder, MORE))

    assert torch.equal(first, copied)


def test_threads_do_not_read_what_others_wrote():
    encoder, graphs = both()
    with torch.inference_mode():
        given = [inputs(encoder, lengths) for lengths in ([60, 50, 9], [58, 47, 3])]
        truths = [graphs.forward(*some) for some in given]
    assert len(graphs.sizes) == 1
    together, right = threading.Barrier(len(given)), []

    def work(some: Inputs, truth: torch.Tensor) -> None:
        together.wait()
        right.extend(torch.equal(graphs.forward(*some), truth) for _ in range(50))

    threads = [threading.Thread(target=work, args=pair) for pair in zip(given, truths, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert right == [True] * 100


@torch.inference_mode()
def test_what_has_no_pass_goes_to_torch():
    encoder, graphs = both()
    tokens, context, _ = inputs(encoder, FEWER)
    weighed = AttentionContext(context.segments, torch.randn(len(tokens)))
    given = [(tokens, weighed, None), inputs(encoder, [2] * 129)]
    graphs.prepare(1, 40, None)
    prepared = list(graphs.sizes)

    for some in [*given, inputs(encoder, [41])]:
        assert torch.equal(graphs.forward(*some), graphs.stepwise.forward(*some))

    assert graphs.sizes == prepared == [Size(1, 48), Size(1, 32), Size(1, 16)]


def test_a_model_that_runs_block_by_block_has_no_passes():
    model = build("vit")
    PackedEncoder(model)
    with pytest.raises(UnavailableError, match="between its blocks"):
        open_graphs(Blocks.of(model, between=True), FP32)


@torch.inference_mode()
def test_results_say_that_steps_and_weighed_keys_and_what_is_recalled_are_computed_in_torch():
    model = packed(through_graphs=True)
    frames = frames_for()
    engine = Engine(model)
    words = Vocabulary.learn(torch.randn(80, 3 * 16 * 16), 40)
    for tokenizer in (MergeTokenizer(6), RecallTokenizer(0.98), InterTokenizer(words, 0.5, True)):
        computed = [output.computed for output in engine.submit(frames, tokenizer).result().frames]
        assert computed == [("torch", "fp32")] * len(frames)
    assert isinstance(model.encoder.runtime, GraphsRuntime)
    assert model.encoder.runtime.sizes == []


def test_what_fills_up_a_pass_is_nowhere_counted():
    plain, model = packed(), packed(through_graphs=True)
    frames = frames_for()
    for tokenizer in (FullTokenizer(), IntraTokenizer(0.4)):
        expected, found = (Engine(one).submit(frames, tokenizer).result().frames for one in (plain, model))
        assert {output.computed for output in found} == {("graphs", "fp32")}
        for ours, theirs in zip(found, expected, strict=True):
            assert (ours.flops, ours.tokens_kept, ours.tokens_full) == (
                theirs.flops,
                theirs.tokens_kept,
                theirs.tokens_full,
            )
            first, second = (np.asarray(one.prediction.embedding) for one in (ours, theirs))
            assert np.abs(first - second).max() / np.abs(second).max() < NEAR


def test_first_passes_make_every_size_and_none_is_made_afterwards():
    model = packed(through_graphs=True)
    runtime = model.encoder.runtime
    assert isinstance(runtime, GraphsRuntime)
    longest = model.prefix + 64

    warm_up(Engine(model), 3)

    # Four sequences, since a frame that is checked comes a second time.
    assert list(runtime.sizes) == [size for size, _ in Size.up_to(4, longest)]
    made = list(runtime.sizes)
    with torch.inference_mode():
        for lengths in ([1], [longest], [1, 1], [longest] * 4, [3, longest, 17]):
            runtime.forward(*inputs(model.encoder, lengths))
    assert runtime.sizes == made


@pytest.mark.parametrize("most", [1, 7, 8, 11])
def test_every_batch_fits_into_one_of_few_sizes(most):
    longest = 23
    sizes = [size for size, _ in Size.up_to(most, longest)]

    used = {
        Size.of(count, total) for count in range(1, most + 1) for total in range(count, count * longest + 1)
    }

    assert used == set(sizes)
    assert [size.tokens for size in sizes] == sorted((size.tokens for size in sizes), reverse=True)


@pytest.mark.parametrize("longest", [3, 40, 300])
def test_kernels_are_launched_for_the_longest_sequence_or_for_what_fills_up_a_size(longest):
    for count in range(1, 10):
        for total in range(count, count * longest + 1):
            size = Size.of(count, total)
            one = min(longest, total - count + 1)
            assert max(one, size.tokens - total) <= size.longest(longest) <= size.longest(None)
    assert Size.of(9, 9 * longest).longest(longest) <= max(longest, 256)


def test_sizes_are_steps_that_widen_with_the_batch():
    assert [Size.of(1, total) for total in (1, 16, 17)] == [Size(1, 16), Size(1, 16), Size(1, 32)]
    assert [Size.of(count, 65) for count in (2, 8)] == [Size(8, 128)] * 2
    assert [Size.of(count, 257) for count in (9, 128)] == [Size(128, 512)] * 2
    assert [len(Size.up_to(most, 197)) for most in (1, 8, 65)] == [13, 13 + 25, 13 + 25 + 51]


def packed(through_graphs: bool = False) -> PackedModel:
    backbone = build("vit")
    model = PackedModel("vit", backbone, EmbeddingHead(), InputSpec(128, 128))
    if through_graphs:
        runtime: Runtime = open_graphs(Blocks.of(backbone).copy(), FP32)
        model.encoder.runtime = runtime
    return model


def frames_for(count: int = 3) -> list[Frame]:
    images = np.random.default_rng(0).integers(0, 255, (count, 128, 128, 3), np.uint8)
    images[:, :48] = 90
    geometry = Geometry(128, 128, 128, 128, 1.0, 1.0, 0.0, 0.0)
    return [Frame(FrameTimes(pts_s=None), image, geometry) for image in images]
