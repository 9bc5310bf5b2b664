"""Steps between the blocks, for every family: merging against a slow version, batch mates, the way back."""

from dataclasses import dataclass

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.flops import EncoderFlops
from pipeline.models.refusal import parts_of
from pipeline.tokenizers import (
    AtsTokenizer,
    ClusterTokenizer,
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    MctfTokenizer,
    MergeTokenizer,
    PackedTokens,
    PitomeTokenizer,
    PruneTokenizer,
    Tokenizer,
    TokenPlan,
    ZeroTPruneTokenizer,
)
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.registry import taken_with
from tests.pipeline.counting import counting
from tests.pipeline.models.families import FAMILIES, build, images_for
from tests.pipeline.models.replicas import merged
from vocab.patches import patchify
from vocab.words import Vocabulary

# Two steps, so that the second sees tokens of different sizes.
DEPTH = 3


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    model = build(request.param, DEPTH)
    images = images_for(model)
    encoder = PackedEncoder(model)
    return encoder, images


@pytest.fixture(scope="module")
def small():
    model = build("dinov2 with registers", DEPTH)
    return PackedEncoder(model), images_for(model)


@dataclass(frozen=True)
class DropUnseen:
    """Drops the patch tokens that the class token attends to least: five or seven, as the image has it."""

    wants_attention: bool = True

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:  # noqa: ARG002
        if layer > 0:
            return None
        plans = []
        for index, kept in enumerate(packed.kept):
            attention = packed.images(slice(index, index + 1)).attention(slice(1))[0].mean(dim=0)[0]
            left = kept - 5 - 2 * int(attention[packed.prefix :].argmin() % 2)
            stays = torch.zeros(kept, dtype=torch.bool)
            stays[attention[packed.prefix :].topk(left).indices] = True
            group = torch.where(stays, stays.cumsum(0) - 1, -1)
            plans.append(TokenPlan(group[None], torch.tensor([left]), packed.prefix, left))
        return TokenPlan.join(plans)

    def flops(self, kept: int, heads: int, width: int) -> int:  # noqa: ARG002
        return 1000 + kept


def plan_of(tokenizer: Tokenizer, encoder: PackedEncoder, images: torch.Tensor) -> TokenPlan:
    return tokenizer.plan(images, encoder.patch_size, encoder.prefix)


def with_step(plan: TokenPlan, step) -> TokenPlan:
    return TokenPlan(plan.group, plan.kept, plan.prefix, plan.uniform, steps=(step,) * len(plan.group))


def encoded(tokenizer: Tokenizer, encoder: PackedEncoder, images: torch.Tensor) -> Features:
    return encoder.encode(images, plan_of(tokenizer, encoder, images))


def each_with_another_tokenizer(encoder: PackedEncoder, images: torch.Tensor) -> list[Tokenizer]:
    vocabulary = Vocabulary.learn(patchify(images, encoder.patch_size).flatten(0, 1), 40)
    every = [
        InterTokenizer(vocabulary, 0.02),
        MergeTokenizer(6),
        ClusterTokenizer(1.4),
        FullTokenizer(),
        MctfTokenizer(6),
        MergeTokenizer(6),
        MergeTokenizer(3),
        PitomeTokenizer(0.1),
        AtsTokenizer(0.3),
        ClusterTokenizer(2),
        PruneTokenizer(0.3),
        ZeroTPruneTokenizer(0.3),
        IntraTokenizer(0.4),
    ]
    taken = taken_with(parts_of(encoder.model))
    return [tokenizer for tokenizer in every if tokenizer.name in taken]


@torch.inference_mode()
def test_a_step_that_merges_nothing_leaves_the_output_of_timm(family):
    encoder, images = family
    plan = with_step(plan_of(FullTokenizer(), encoder, images), MergeStep(0))
    expected = encoder.model.forward_features(images)

    for features in (encoder.encode(images, plan), encoded(MergeTokenizer(0), encoder, images)):
        torch.testing.assert_close(features.tokens, expected.flatten(0, 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(
            encoder.head(features), encoder.model.forward_head(expected), atol=1e-5, rtol=0
        )


@torch.inference_mode()
def test_merging_equals_a_slow_version_that_packs_nothing(family):
    encoder, images = family
    # Without flat areas no two patches are alike, and no decision hangs on rounding.
    images = images + 0.3 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))

    features = encoded(MergeTokenizer(6), encoder, images)

    restored = features.plan.restore(features.tokens)
    scores = encoder.head(features)
    for index, group in enumerate(features.plan.group):
        expected, groups = merged(encoder, images[index : index + 1], 6)
        tokens = [sorted((group == token).nonzero().flatten().tolist()) for token in range(len(groups))]
        assert tokens == [sorted(members) for members in groups]
        torch.testing.assert_close(restored[index], expected[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(scores[index], encoder.model.forward_head(expected)[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_patches_of_one_word_count_as_many_to_attention_where_that_is_asked_for(family):
    encoder, images = family
    vocabulary = Vocabulary.learn(patchify(images, encoder.patch_size).flatten(0, 1), 40)
    counted, once = (
        encoded(InterTokenizer(vocabulary, 0.02, form), encoder, images) for form in (True, False)
    )

    assert torch.equal(counted.plan.group, once.plan.group)
    assert (encoder.head(counted) - encoder.head(once)).abs().max() > 1e-5
    restored = counted.plan.restore(counted.tokens)
    for index, group in enumerate(counted.plan.group):
        groups = [(group == token).nonzero().flatten().tolist() for token in range(int(group.max()) + 1)]
        assert max(map(len, groups)) > 1
        expected = merged(encoder, images[index : index + 1], 0, groups)[0]
        torch.testing.assert_close(restored[index], expected[0], atol=1e-5, rtol=0)


@torch.inference_mode()
def test_every_block_runs_on_fewer_tokens_and_every_patch_stays_in_one(family):
    encoder, images = family
    patches = encoder.grid[0] * encoder.grid[1]

    features = encoded(MergeTokenizer(6), encoder, images)

    assert features.trail.kept == [[patches - 6 * layer] * 3 for layer in range(DEPTH)]
    assert features.plan.kept_list() == features.trail.kept[-1]
    assert not features.plan.dropped.any()
    sizes = features.plan.sizes().split(features.plan.kept_list())
    assert [int(some.sum()) for some in sizes] == [patches] * 3
    assert max(int(some.max()) for some in sizes) > 1
    assert next(encoder.patch_grids(features)).shape[2:] == encoder.grid


@torch.inference_mode()
def test_a_result_does_not_depend_on_the_steps_of_its_batch_mates(family):
    encoder, images = family
    tokenizers = each_with_another_tokenizer(encoder, images)
    images = images.repeat(5, 1, 1, 1)[: len(tokenizers)]
    frames = images.split(1)
    plans = [plan_of(tokenizer, encoder, frame) for tokenizer, frame in zip(tokenizers, frames, strict=True)]

    together = encoder.encode(images, TokenPlan.join(plans))

    parts = together.tokens.split(list(together.segments.lengths))
    scores, grids = encoder.head(together), next(encoder.patch_grids(together))
    for index, (frame, plan) in enumerate(zip(frames, plans, strict=True)):
        alone = encoder.encode(frame, plan)
        torch.testing.assert_close(parts[index], alone.tokens, atol=1e-5, rtol=0)
        torch.testing.assert_close(scores[index], encoder.head(alone)[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(grids[index], next(encoder.patch_grids(alone))[0], atol=1e-5, rtol=0)
        assert together.trail.kept_by(index) == alone.trail.kept_by(0)
        assert together.trail.step_flops[index] == alone.trail.step_flops[0]


@torch.inference_mode()
def test_nothing_waits_for_the_device(family):
    """Tensors without values: whoever wants to know one on the host gets an exception."""
    encoder, images = family
    tokenizers = [
        MergeTokenizer(6),
        FullTokenizer(),
        IntraTokenizer(0.4),
        PitomeTokenizer(0.1),
        MctfTokenizer(6),
        ClusterTokenizer(2),
        ZeroTPruneTokenizer(0.3),
    ]
    if "prune" in taken_with(parts_of(encoder.model)):
        tokenizers.append(PruneTokenizer(0.3))
    images = images.repeat(3, 1, 1, 1)[: len(tokenizers)]
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        frames = [mode.from_tensor(frame) for frame in images.split(1)]
        pairs = zip(tokenizers, frames, strict=True)
        plan = TokenPlan.join([plan_of(tokenizer, encoder, frame) for tokenizer, frame in pairs])

        features = encoder.encode(torch.cat(frames), plan)
        encoder.head(features)
        next(encoder.patch_grids(features))

        with pytest.raises(DataDependentOutputException):
            features.tokens.max().item()


@torch.inference_mode()
def test_steps_go_on_from_tokens_that_were_merged_or_dropped_before_the_first_block(small):
    encoder, images = small
    inter, *_, intra = each_with_another_tokenizer(encoder, images)
    for tokenizer in (inter, intra):
        plan = plan_of(tokenizer, encoder, images)

        features = encoder.encode(images, with_step(plan, MergeStep(6)))

        kept = plan.kept_list()
        assert features.trail.kept == [[count - 6 * layer for count in kept] for layer in range(DEPTH)]
        assert torch.equal(features.plan.dropped, plan.dropped)
        for before, after in zip(plan.group, features.plan.group, strict=True):
            for token in range(int(before.max()) + 1):
                assert len(after[before == token].unique()) == 1


@torch.inference_mode()
def test_a_step_sees_the_attention_of_the_class_token_and_may_drop_by_it(small):
    encoder, images = small
    full = plan_of(FullTokenizer(), encoder, images)

    features = encoder.encode(images, with_step(full, DropUnseen()))

    block = encoder.model.blocks[0]
    tokens = encoder.model.norm_pre(encoder.model._pos_embed(encoder.model.patch_embed(images)))
    query, key, _ = block.attn._project(block.norm1(tokens).flatten(0, 1))
    query, key = (x.unflatten(0, (3, -1)).transpose(1, 2) for x in (query, key))
    paid = (query[:, :, :1] @ key.transpose(2, 3) / query.shape[-1] ** 0.5).softmax(dim=-1).mean(dim=1)
    seen = paid[:, 0, encoder.prefix :]
    restored = features.plan.restore(features.tokens)[:, encoder.prefix :]
    for index, dropped in enumerate(features.plan.dropped):
        least = seen[index].topk(64 - features.trail.kept[1][index], largest=False).indices
        assert sorted(least.tolist()) == dropped.nonzero().flatten().tolist()
        assert (restored[index, dropped] == 0).all()
    assert features.trail.kept[0] == [64] * 3
    assert features.trail.kept[1] == features.trail.kept[2]
    assert set(features.trail.kept[1]) <= {57, 59}
    # It was asked twice, and decided once.
    assert features.trail.step_flops == [1000 + 64] * 3


@pytest.mark.parametrize(
    "tokenizer",
    [
        MergeTokenizer(12),
        PitomeTokenizer(0.2),
        MctfTokenizer(12),
        ClusterTokenizer(1.4),
        AtsTokenizer(0.4),
        ZeroTPruneTokenizer(0.4),
        PruneTokenizer(0.4),
    ],
    ids=lambda tokenizer: tokenizer.name,
)
@torch.inference_mode()
def test_the_operations_of_all_blocks_and_steps_are_those_torch_counts(small, tokenizer):
    encoder, images = small
    frame = images[:1]
    flops = EncoderFlops(encoder.model)
    # torch counts attention only where it is written out as products.
    with counting() as counter, sdpa_kernel(SDPBackend.MATH):
        features = encoded(tokenizer, encoder, frame)
        encoder.head(features)
        list(encoder.patch_grids(features))

    kept = features.trail.kept_by(0)
    counted = flops(kept, 64) + features.trail.step_flops[0]
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.005)
    assert flops(kept, 64) < 0.9 * flops(64, 64)
    assert flops([64] * DEPTH, 64) == flops(64, 64)
