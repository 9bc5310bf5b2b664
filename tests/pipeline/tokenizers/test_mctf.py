from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import cosine_similarity

from pipeline.tokenizers import MctfTokenizer, PackedTokens
from pipeline.tokenizers.mctf import MctfStep
from tests.pipeline.tokenizers.examples import attention_of, groups_of, image, packed


@dataclass
class Token:
    patches: list[int]
    value: torch.Tensor
    attention: float
    size: float


def attraction(one: Token, other: Token) -> float:
    """Equations 4 to 7 of the paper with its temperatures."""
    similar = (float(cosine_similarity(one.value, other.value, dim=0)) + 1) / 2
    informative = 1 / (one.attention * other.attention)
    small = 1 / (one.size * other.size)
    return similar * informative ** (1 / 20) * small ** (1 / 40)


def fuse(asking: list[Token], asked: list[Token], merges: int) -> list[Token]:
    """Moves the tokens that attract one of the other side most over to it; gives what is left of theirs."""
    best = [max(asked, key=lambda other, one=one: attraction(one, other)) for one in asking]
    ranked = sorted(zip(asking, best, strict=True), key=lambda pair: -attraction(*pair))
    for target in asked:
        members = [target, *(one for one, other in ranked[:merges] if other is target)]
        weights = [member.attention * member.size for member in members]
        total = sum(weight * member.value for weight, member in zip(weights, members, strict=True))
        target.value = total / sum(weights)
        target.patches = sorted(patch for member in members for patch in member.patches)
        target.attention = sum(member.attention for member in members)
        target.size = sum(member.size for member in members)
    gone = {id(one) for one, _ in ranked[:merges]}
    return [one for one in asking if id(one) not in gone]


def slow(tokens: PackedTokens, index: int, r: int) -> list[Token]:
    """The paper token by token: what is left of an image, by lowest patch."""
    own = image(tokens, index)
    paid = attention_of(tokens, index).mean(dim=(0, 1))
    every = [
        Token([patch], own.tokens[row], float(paid[row]), float(own.sizes[row]))
        for patch, row in enumerate(range(own.prefix, len(own.tokens)))
    ]
    r = min(r, len(every) // 2)
    first, second = every[::2], every[1::2]
    first = fuse(first, second, r - r // 2)
    second = fuse(second, first, r // 2)
    return sorted(first + second, key=lambda token: token.patches)


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("r", [1, 2, 5, 100])
@pytest.mark.parametrize("counts", [[17, 17, 17], [16, 3, 9]])
def test_merging_is_the_paper_written_out_token_by_token(prefix, r, counts):
    lengths = [prefix + count for count in counts]
    sizes = torch.randint(1, 5, (sum(lengths),), generator=torch.Generator().manual_seed(1)).float()
    tokens = packed(lengths, prefix, sizes=sizes)

    plan = MctfStep(r)(0, 12, tokens)

    made, weights = plan.regroup(tokens.tokens, tokens.sizes, torch.tensor(lengths))
    after = [prefix + kept for kept in plan.kept_list()]
    parts = zip(made.split(after), weights.split(after), strict=True)
    for index, (values, sizes_after) in enumerate(parts):
        expected = slow(tokens, index, r)
        groups = groups_of(plan.group[index])
        assert sorted(groups) == [token.patches for token in expected]
        assert torch.equal(values[:prefix], image(tokens, index).tokens[:prefix])
        for group, value, size in zip(groups, values[prefix:], sizes_after[prefix:], strict=True):
            (token,) = [one for one in expected if one.patches == group]
            torch.testing.assert_close(value, token.value)
            assert float(size) == token.size


def test_of_pairs_alike_those_little_attended_merge_first_and_then_the_small_ones():
    tokens = packed([9], 1, sizes=torch.tensor([1.0, 1, 1, 1, 1, 1, 1, 3, 3]))
    tokens.tokens[:] = 1
    tokens.attended.queries[:] = 1
    tokens.attended.keys[:] = 0

    # All alike, with attention in proportion to size: the large ones are left alone.
    assert groups_of(MctfStep(1)(0, 12, tokens).group[0])[-2:] == [[6], [7]]

    # Attention to the first four patches, however small they are.
    tokens.sizes[7:] = 1
    tokens.attended.bias[:] = 0
    tokens.attended.keys[1:5] = 1
    assert groups_of(MctfStep(1)(0, 12, tokens).group[0])[:4] == [[0], [1], [2], [3]]


def test_tokens_that_stay_alone_keep_their_values_to_the_bit():
    tokens = packed([18], 1)

    plan = MctfStep(3)(0, 12, tokens)

    made, _ = plan.regroup(tokens.tokens, tokens.sizes, torch.tensor([18]))
    alone = [(index, group[0]) for index, group in enumerate(groups_of(plan.group[0])) if len(group) == 1]
    assert len(alone) > 10
    assert all(torch.equal(made[1 + index], tokens.tokens[1 + patch]) for index, patch in alone)


def test_nothing_happens_where_nothing_can_merge():
    assert MctfStep(8)(0, 12, packed([2, 2], 1)) is None
    assert MctfTokenizer(0).plan(torch.zeros(2, 3, 28, 28), 14).steps == ()


def test_attention_and_comparisons_are_counted_in_operations():
    assert MctfStep(8).flops(256, 6, 64) == 2 * 256**2 * 384 + 2 * 2 * 128**2 * 384
