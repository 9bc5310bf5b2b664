from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity, elu

from pipeline.errors import UsageError
from pipeline.tokenizers import PackedTokens, PitomeTokenizer, TokenPlan
from pipeline.tokenizers.pitome import PitomeStep
from tests.pipeline.tokenizers.examples import groups_of, image, packed

VECTORS = np.load(Path(__file__).parent / "conformance" / "merging.npz")


def merge(share: float, layer: int, tokens: PackedTokens) -> TokenPlan:
    plan = PitomeStep(share)(layer, 12, tokens)
    assert plan is not None
    return plan


def slow_groups(keys: torch.Tensor, share: float, margin: float) -> list[list[int]]:
    """Algorithm 1 of the paper token by token: keys (N, D) -> the members of every token."""
    count = len(keys)
    pairs = int(count * share)

    def alike(one: int, other: int) -> float:
        return float(cosine_similarity(keys[one], keys[other], dim=0))

    def energy(one: int) -> float:
        others = [alike(one, other) - margin for other in range(count) if other != one]
        return float(elu(torch.tensor(others)).sum()) / count

    crowded = sorted(range(count), key=energy, reverse=True)[: 2 * pairs]
    sources, targets = crowded[::2], crowded[1::2]
    members = {token: [token] for token in range(count) if token not in sources}
    for source in sources:
        members[max(targets, key=lambda target: alike(source, target))].append(source)
    return sorted(sorted(group) for group in members.values())


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("ratio", [0.95, 0.8])
def test_the_groups_are_those_of_the_papers_own_function(index, ratio):
    keys, tokens = (torch.from_numpy(VECTORS[f"{name}_{index}"]) for name in ("keys", "tokens"))
    real = PackedTokens(tokens, keys[:, None], None, torch.ones(len(keys)), [len(keys)], 1)

    group = merge(1 - ratio, int(VECTORS[f"layer_{index}"]), real).group[0]

    # As the vectors tell it: the lowest member of the group each token ends in; the class token is number 0.
    lowest = [min((group == token).nonzero().flatten().tolist()) + 1 for token in group]
    assert [0, *lowest] == VECTORS[f"pitome_{index}_{ratio}_group"].tolist()


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize(("layer", "margin"), [(0, 0.75), (8, 0.25)])
def test_merging_is_the_paper_written_out_token_by_token(prefix, share, layer, margin):
    tokens = packed([prefix + 17] * 3, prefix)

    plan = merge(share, layer, tokens)

    assert plan.kept_list() == [17 - int(17 * share)] * 3
    for index, group in enumerate(plan.group):
        keys = image(tokens, index).keys[prefix:].mean(dim=1)
        assert sorted(groups_of(group)) == slow_groups(keys, share, margin)


def test_a_token_unlike_all_others_is_spared():
    tokens = packed([9], 1)
    tokens.keys[:] = torch.tensor([1.0, 0.1, 0.0, 0.0]) + 0.01 * tokens.keys
    tokens.keys[5] = torch.tensor([0.0, 0.0, 1.0, 0.0])

    group = merge(0.4, 5, tokens).group[0]

    assert (group == group[4]).sum() == 1


def test_images_of_different_lengths_merge_as_each_of_them_alone():
    tokens = packed([21, 3, 12], 1)

    plan = merge(0.3, 4, tokens)

    assert plan.kept_list() == [14, 2, 8]
    for index, kept in enumerate(tokens.kept):
        alone = PitomeStep(0.3)(4, 12, image(tokens, index))
        group = torch.arange(kept) if alone is None else alone.group[0]
        assert torch.equal(plan.group[index, :kept], group)
        assert (plan.group[index, kept:] == -1).all()


def test_nothing_happens_where_nothing_can_merge():
    assert PitomeStep(0.05)(0, 12, packed([20, 12], 1)) is None
    assert PitomeTokenizer(0).plan(torch.zeros(2, 3, 28, 28), 14).steps == ()


def test_comparing_keys_is_counted_in_operations():
    assert PitomeStep(0.1).flops(256, 6, 64) == 256 * 6 * 64 + 2 * 256 * 256 * 64


def test_a_share_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"--merge-share 0\.6 .* from 0 to 0\.5"):
        PitomeTokenizer(0.6)
