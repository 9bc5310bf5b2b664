import pytest
import torch

from pipeline.tokenizers import DROPPED, INTACT, MERGED, TokenPlan, patch_states

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
