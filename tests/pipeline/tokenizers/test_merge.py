from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers import MergeTokenizer, PackedTokens, TokenPlan
from pipeline.tokenizers.merge import MergeStep
from tests.pipeline.tokenizers.slow_merging import merged_groups

VECTORS = np.load(Path(__file__).parent / "conformance" / "merging.npz")


def packed(lengths: list[int], prefix: int, seed: int = 0) -> PackedTokens:
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    tokens = torch.randn(total, 6, generator=generator)
    keys = torch.randn(total, 3, 4, generator=generator)
    return PackedTokens(tokens, keys, None, torch.ones(total), lengths, prefix)


def groups_of(group: torch.Tensor) -> list[list[int]]:
    """The members of every token, as sets in order."""
    return [sorted((group == token).nonzero().flatten().tolist()) for token in range(int(group.max()) + 1)]


def merge(r: int, tokens: PackedTokens) -> TokenPlan:
    plan = MergeStep(r)(0, 12, tokens)
    assert plan is not None
    return plan


def real(index: int) -> PackedTokens:
    """Real tokens and keys of one block of a DINOv2, with one prefix token."""
    keys, tokens = (torch.from_numpy(VECTORS[f"{name}_{index}"]) for name in ("keys", "tokens"))
    return PackedTokens(tokens, keys[:, None], None, torch.ones(len(keys)), [len(keys)], 1)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("r", [1, 8, 32, 100])
def test_the_groups_are_those_of_the_papers_own_function(index, r):
    group = merge(r, real(index)).group[0]

    # As the vectors tell it: the lowest member of the group each token ends in; the class token is number 0.
    lowest = [min((group == token).nonzero().flatten().tolist()) + 1 for token in group]
    assert [0, *lowest] == VECTORS[f"merge_{index}_{r}_group"].tolist()


@pytest.mark.parametrize("index", range(6))
def test_sizes_and_means_are_those_of_the_papers_own_function(index):
    before = real(index)

    tokens, sizes = merge(32, before).regroup(before.tokens, before.sizes, torch.tensor(before.lengths))

    np.testing.assert_array_equal(sizes.sort().values, np.sort(VECTORS[f"merge_{index}_32_sizes_sorted"]))
    total = (tokens * sizes[:, None]).sum(dim=0)
    np.testing.assert_allclose(total, VECTORS[f"merge_{index}_32_tokens_sum"], rtol=1e-3)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("count", [2, 3, 16, 17])
@pytest.mark.parametrize("r", [1, 4, 100])
def test_merging_is_the_paper_written_out_token_by_token(prefix, count, r):
    tokens = packed([prefix + count] * 3, prefix)

    plan = merge(r, tokens)

    left = count - min(r, count // 2)
    assert plan.kept_list() == [left] * 3
    for keys, group in zip(tokens.keys.unflatten(0, (3, -1)), plan.group, strict=True):
        expected = merged_groups(keys[prefix:].mean(dim=1), r, prefix)
        assert groups_of(group) == [sorted(members) for members in expected]


def test_images_of_different_lengths_merge_as_each_of_them_alone():
    tokens = packed([9, 2, 7, 1], 1)

    plan = merge(3, tokens)

    assert plan.kept_list() == plan.kept.tolist() == [5, 1, 3, 0]
    for index, kept in enumerate(tokens.kept):
        alone = MergeStep(3)(0, 12, tokens.images(slice(index, index + 1)))
        group = torch.arange(kept) if alone is None else alone.group[0]
        assert torch.equal(plan.group[index, :kept], group)
        assert (plan.group[index, kept:] == -1).all()


def test_nothing_happens_where_nothing_can_merge():
    assert MergeStep(8)(0, 12, packed([2, 2], 1)) is None
    assert MergeStep(0)(0, 12, packed([9, 9], 1)) is None


def test_identical_tokens_merge_in_their_order():
    tokens = packed([9], 1)
    tokens.keys[:] = 1

    # Patches 1, 3, 5 and 7 are the even tokens behind one prefix token; all go to the first odd one.
    assert merge(2, tokens).group[0].tolist() == [2, 2, 3, 2, 4, 0, 5, 1]


def test_a_plan_keeps_every_patch_and_says_what_comes_between_the_blocks():
    images = torch.zeros(2, 3, 28, 28)

    plan = MergeTokenizer(3).plan(images, 14)

    assert plan.keeps_all
    assert plan.steps == (MergeStep(3), MergeStep(3))
    assert MergeTokenizer(0).plan(images, 14).steps == ()


def test_comparing_keys_is_counted_in_operations():
    # 6 heads of 64: the mean, and 128 even tokens against 128 odd ones.
    assert MergeStep(8).flops(256, 6, 64) == 256 * 6 * 64 + 2 * 128 * 128 * 64
    assert MergeStep(8).flops(7, 1, 4) == 7 * 4 + 2 * 3 * 4 * 4
    assert MergeTokenizer().flops(256, 14) == 0


def test_a_number_of_pairs_out_of_range_is_refused():
    with pytest.raises(UsageError, match="--r -1"):
        MergeTokenizer(-1)
