import pytest
import torch

from pipeline.tokenizers import DROPPED, INTACT, MERGED, TokenPlan, patch_states
from pipeline.tokenizers.merge import MergeStep

# Two images of six patches: the first merges, the second drops.
GROUP = torch.tensor([[0, 1, 0, 2, 1, 0], [0, -1, 1, -1, -1, 2]])
KEPT = torch.tensor([3, 3])


@pytest.fixture(params=[0, 1, 5])
def prefix(request):
    return request.param


@pytest.fixture
def plan(prefix):
    return TokenPlan(GROUP, KEPT, prefix)


def tokens_for(prefix: int) -> torch.Tensor:
    return torch.randn(2, prefix + 6, 4, generator=torch.Generator().manual_seed(0))


def test_apply_passes_the_prefix_and_takes_the_mean_of_every_group(plan, prefix):
    tokens = tokens_for(prefix)

    first, second = plan.apply(tokens).split(plan.lengths.tolist())

    patches = tokens[:, prefix:]
    assert torch.equal(first[:prefix], tokens[0, :prefix])
    torch.testing.assert_close(first[prefix], patches[0, [0, 2, 5]].mean(dim=0))
    torch.testing.assert_close(first[prefix + 1], patches[0, [1, 4]].mean(dim=0))
    assert torch.equal(first[prefix + 2], patches[0, 3])
    assert torch.equal(second[prefix:], patches[1, [0, 2, 5]])


def test_restore_gives_every_patch_the_token_of_its_group_and_dropped_ones_zeros(plan, prefix):
    tokens = tokens_for(prefix)
    packed = plan.apply(tokens)

    restored = plan.restore(packed)

    assert restored.shape == tokens.shape
    first, second = packed.split(plan.lengths.tolist())
    for image, own in enumerate((first, second)):
        assert torch.equal(restored[image, :prefix], own[:prefix])
        for patch, group in enumerate(GROUP[image].tolist()):
            expected = torch.zeros(4) if group < 0 else own[prefix + group]
            assert torch.equal(restored[image, prefix + patch], expected)


def test_restore_after_apply_changes_nothing_where_groups_are_uniform(plan, prefix):
    once = plan.restore(plan.apply(tokens_for(prefix)))

    torch.testing.assert_close(plan.restore(plan.apply(once)), once)


def test_keeping_all_is_the_identity_to_the_bit():
    tokens = tokens_for(1)
    for uniform in (6, None):
        plan = TokenPlan(torch.arange(6).expand(2, -1), torch.tensor([6, 6]), 1, uniform)

        assert torch.equal(plan.apply(tokens), tokens.flatten(0, 1))
        assert torch.equal(plan.restore(plan.apply(tokens)), tokens)


def test_sizes_count_the_patches_a_token_stands_for(plan):
    assert plan.sizes().tolist() == [3, 2, 1, 1, 1, 1]


def test_the_representative_is_the_member_nearest_to_the_middle_of_its_group():
    # A 4x4 grid: a row of three, then a pair (a tie, the first in raster order), then single patches.
    group = torch.tensor([[0, 0, 0, 1, 2, 3, 4, 1, 5, 6, 7, 8, 9, 10, 11, 12]])
    plan = TokenPlan(group, torch.tensor([13]))

    assert plan.representatives(columns=4).tolist()[:2] == [1, 3]


def test_representatives_are_members_of_their_groups(plan):
    chosen = plan.representatives(columns=3).split(KEPT.tolist())

    for image, patches in enumerate(chosen):
        assert GROUP[image, patches].tolist() == [0, 1, 2]


def test_states_tell_what_became_of_each_patch(plan):
    assert patch_states(plan.group).tolist() == [
        [MERGED, MERGED, MERGED, INTACT, MERGED, MERGED],
        [INTACT, DROPPED, INTACT, DROPPED, DROPPED, INTACT],
    ]


def test_half_precision_tokens_are_averaged_in_single_precision():
    group = torch.zeros(1, 512, dtype=torch.int64)
    tokens = torch.full((1, 512, 1), 3.0, dtype=torch.bfloat16)

    assert TokenPlan(group, torch.tensor([1]), prefix=0).apply(tokens).item() == 3.0


def test_plans_joined_pack_as_each_of_them_alone(prefix):
    first, second = TokenPlan(GROUP[:1], KEPT[:1], prefix), TokenPlan(GROUP[1:], KEPT[1:], prefix, 3)
    tokens = tokens_for(prefix)

    joined = TokenPlan.join([first, second])

    packed = torch.cat([first.apply(tokens[:1]), second.apply(tokens[1:])])
    assert torch.equal(joined.apply(tokens), packed)
    assert torch.equal(joined.restore(packed), TokenPlan(GROUP, KEPT, prefix).restore(packed))
    assert joined.kept_list() == [3, 3]


def test_plans_joined_keep_all_only_where_each_of_them_does():
    whole = TokenPlan(torch.arange(6).expand(2, -1), torch.tensor([6, 6]), 1, 6)
    some = TokenPlan(GROUP[:1], KEPT[:1], 1)

    assert TokenPlan.join([whole, whole]).keeps_all
    assert TokenPlan.join([whole]) is whole
    assert not TokenPlan.join([whole, some]).keeps_all
    assert TokenPlan.join([whole, some]).kept_list() == [6, 6, 3]


# What comes after the plan above: of three tokens each, the first image merges two, the second drops one.
LATER = torch.tensor([[0, 1, 0], [-1, 1, 0]])


def test_two_plans_in_a_row_are_one_plan(plan, prefix):
    later = TokenPlan(LATER, torch.tensor([2, 2]), prefix, 2)

    both = plan.then(later)

    assert both.group.tolist() == [[0, 1, 0, 0, 1, 0], [-1, -1, 1, -1, -1, 0]]
    assert both.kept_list() == [2, 2]
    tokens = tokens_for(prefix)
    regrouped, sizes = later.regroup(plan.apply(tokens), plan.sizes(prefix), plan.lengths)
    torch.testing.assert_close(regrouped, both.apply(tokens))
    assert torch.equal(sizes, both.sizes(prefix))


def test_images_of_different_lengths_are_regrouped_as_each_of_them_alone(prefix):
    lengths = [prefix + 5, prefix + 2, prefix + 3]
    packed = torch.randn(sum(lengths), 4, generator=torch.Generator().manual_seed(1))
    sizes = torch.arange(1.0, len(packed) + 1)
    plans = [
        TokenPlan(torch.tensor([[0, 1, 0, -1, 1]]), torch.tensor([2]), prefix, 2),
        TokenPlan(torch.tensor([[0, 0]]), torch.tensor([1]), prefix, 1),
        TokenPlan(torch.tensor([[2, 0, 1]]), torch.tensor([3]), prefix, known=[3]),
    ]

    together = TokenPlan.join(plans)
    tokens, weights = together.regroup(packed, sizes, torch.tensor(lengths))

    assert together.kept_list() == [2, 1, 3]
    alone = [
        plan.regroup(some, size, torch.tensor([len(some)]))
        for plan, some, size in zip(plans, packed.split(lengths), sizes.split(lengths), strict=True)
    ]
    torch.testing.assert_close(tokens, torch.cat([one for one, _ in alone]))
    torch.testing.assert_close(weights, torch.cat([size for _, size in alone]))


def test_plans_joined_keep_the_step_of_every_image():
    kept = torch.tensor([6])
    step = MergeStep(2)
    plain, stepping = (TokenPlan(torch.arange(6)[None], kept, 1, 6, steps=some) for some in ((), (step,)))

    assert TokenPlan.join([plain, plain]).steps == ()
    assert TokenPlan.join([plain, stepping, plain]).steps == (None, step, None)


def mixing() -> torch.Tensor:
    """For two images of six patches and three tokens: shares that add up to one."""
    return torch.rand(2, 6, 3, generator=torch.Generator().manual_seed(3)).softmax(dim=2)


def test_restore_gives_every_patch_its_mix_of_the_tokens_of_its_image(prefix):
    mix, groups = mixing(), torch.tensor([[0, 1, 2, 0, 1, 2]]).expand(2, -1)
    plan = TokenPlan(groups, torch.tensor([3, 3]), prefix, 3, mix=mix)
    packed = torch.randn(2 * (prefix + 3), 4, generator=torch.Generator().manual_seed(0))

    restored = plan.restore(packed)

    for image, own in enumerate(packed.split(prefix + 3)):
        assert torch.equal(restored[image, :prefix], own[:prefix])
        for patch in range(6):
            expected = sum(mix[image, patch, token] * own[prefix + token] for token in range(3))
            torch.testing.assert_close(restored[image, prefix + patch], expected)


def test_plans_joined_mix_only_where_each_of_them_does(prefix):
    mixed = TokenPlan(torch.zeros(1, 6, dtype=torch.int64), torch.tensor([3]), prefix, 3, mix=mixing()[:1])
    plain = TokenPlan(torch.tensor([[3, 1, -1, 0, 2, 3, 1, 0]]), torch.tensor([4]), prefix, 4, mix=None)
    packed = torch.randn(2 * prefix + 7, 4, generator=torch.Generator().manual_seed(0))

    together = TokenPlan.join([mixed, plain]).restore(packed)

    first, second = packed.split([prefix + 3, prefix + 4])
    torch.testing.assert_close(together[:1, : prefix + 6], mixed.restore(first))
    torch.testing.assert_close(together[1:], plain.restore(second))


@pytest.mark.parametrize("which", ["first", "second", "both"])
def test_plans_in_a_row_restore_one_after_the_other(which, prefix):
    """The second plan's own restore gives what the first one restores from."""
    first = TokenPlan(GROUP, KEPT, prefix, 3, mix=None if which == "second" else mixing())
    second = TokenPlan(
        LATER, torch.tensor([2, 2]), prefix, 2, mix=None if which == "first" else mixing()[:, :3, :2]
    )
    packed = torch.randn(2 * (prefix + 2), 4, generator=torch.Generator().manual_seed(0))

    both = first.then(second).restore(packed)

    torch.testing.assert_close(both, first.restore(second.restore(packed).flatten(0, 1)))


def test_a_plan_that_says_what_its_tokens_become_is_not_asked_for_means():
    made = torch.ones(4, 2), torch.tensor([1.0, 2.0, 1.0, 2.0])
    plan = TokenPlan(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([1, 1]), 1, 1, made=made)

    assert plan.regroup(torch.zeros(6, 2), torch.ones(6), torch.tensor([3, 3])) is made


def test_a_token_that_weighs_less_than_a_patch_stays_what_it_is_among_others():
    plan = TokenPlan(torch.tensor([[0, 1, 1]]), torch.tensor([2]), 0, 2)
    packed = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))

    tokens, sizes = plan.regroup(packed, torch.tensor([0.25, 0.3, 0.1]), torch.tensor([3]))

    torch.testing.assert_close(tokens, torch.stack([packed[0], 0.75 * packed[1] + 0.25 * packed[2]]))
    torch.testing.assert_close(sizes, torch.tensor([0.25, 0.4]))


@pytest.mark.parametrize("patches", [6, 0])
def test_a_batch_that_keeps_no_token_keeps_its_prefix_and_restores_zeros(patches, prefix):
    nothing = torch.zeros(2, dtype=torch.int64)
    tokens = tokens_for(prefix)[:, : prefix + patches]
    first = TokenPlan(torch.full((2, patches), -1), nothing, prefix)

    for mix in (None, torch.zeros(2, 0, 0)):
        both = first.then(TokenPlan(torch.full((2, 0), -1), nothing, prefix, mix=mix))
        packed = both.apply(tokens)

        assert torch.equal(packed, tokens[:, :prefix].flatten(0, 1))
        assert torch.equal(both.restore(packed)[:, :prefix], tokens[:, :prefix])
        assert not both.restore(packed)[:, prefix:].any()
