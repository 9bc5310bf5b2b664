import pytest
import torch
from torch.nn.functional import cosine_similarity

from pipeline.tokenizers import PackedTokens, ZeroTPruneTokenizer
from pipeline.tokenizers.zerotprune import ZeroTPruneStep, combined, ranked
from tests.pipeline.tokenizers.examples import attention_of, image, kept_of, packed


def slow_importance(attention: torch.Tensor, there: list[int], passes: int) -> dict[int, float]:
    """Weighted page rank among some of the tokens, then one score out of those of the heads."""
    by_head = []
    for paid in attention.tolist():
        scores = dict.fromkeys(there, 1.0)
        for _ in range(passes):
            scores = {
                token: sum(
                    scores[other] * paid[other][token] / sum(paid[other][i] for i in there) for other in there
                )
                for token in there
            }
        by_head.append(scores)
    variances = [sum((score - 1) ** 2 for score in scores.values()) / len(there) for scores in by_head]
    chosen = [
        scores for scores, variance in zip(by_head, variances, strict=True) if 0.01 <= variance <= 0.7
    ] or by_head
    return {token: (sum(scores[token] ** 2 for scores in chosen) / len(chosen)) ** 0.5 for token in there}


def slow(tokens: PackedTokens, index: int, left: int, passes: int) -> list[int]:
    """The three stages of the paper, token by token: the patches that stay."""
    own, attention = image(tokens, index), attention_of(tokens, index)
    prefix, every = own.prefix, list(range(len(own.tokens)))
    keys = own.keys.mean(dim=1)
    first = slow_importance(attention, every, passes)
    order = sorted(every[prefix:], key=lambda token: -first[token])
    more, less = order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :]
    nearest = {
        token: max(float(cosine_similarity(keys[token], keys[other], dim=0)) for other in more)
        for token in less
    }
    gone = sorted(less, key=lambda token: -nearest[token])[: (len(order) - left) // 4]
    there = [token for token in every if token not in gone]
    second = slow_importance(attention, there, passes)
    best = sorted(there[prefix:], key=lambda token: -second[token])[:left]
    return sorted(token - prefix for token in best)


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("counts", [[24, 24, 24], [24, 21, 18]])
@pytest.mark.parametrize(("layer", "passes"), [(6, 5), (9, 1)])
def test_what_stays_is_what_the_paper_written_out_token_by_token_keeps(prefix, counts, layer, passes):
    tokens = packed([prefix + count for count in counts], prefix)

    plan = ZeroTPruneStep(0.6, 24)(layer, 12, tokens)

    left = plan.kept_list()[0]
    assert left == (24 - int(24 * (1 - 0.4 ** (layer / 9))))
    for index in range(3):
        assert kept_of(plan, index) == slow(tokens, index, left, passes)


def test_the_rank_settles_where_passing_it_on_changes_nothing():
    attention = torch.rand(1, 1, 9, 9, generator=torch.Generator().manual_seed(0))
    attention = attention / attention.sum(dim=-1, keepdim=True)

    scores = ranked(attention, 50)

    torch.testing.assert_close(scores[0] @ attention[0, 0], scores[0])
    torch.testing.assert_close(scores.mean(), torch.tensor(1.0))


def test_heads_that_find_all_tokens_alike_or_only_a_few_important_do_not_count():
    even, telling = torch.ones(8), torch.tensor([1.5, 0.5] * 4)
    few = torch.tensor([8.0, *[0.0001] * 7])

    assert torch.equal(combined(torch.stack([even, telling, few])[None])[0], telling)
    # Where no head tells, all count, and what one of them finds important stays so.
    none_tells = combined(torch.stack([even, few])[None])[0]
    torch.testing.assert_close(none_tells[0], torch.tensor(((1 + 64) / 2) ** 0.5))


def test_of_two_patches_alike_the_less_important_one_goes():
    tokens = packed([25], 1)
    paid = slow_importance(attention_of(tokens, 0), list(range(25)), 5)
    order = sorted(range(1, 25), key=lambda token: -paid[token])
    tokens.keys[order[12]] = tokens.keys[order[0]]

    # Four go in all, so one of them for similarity.
    step = ZeroTPruneStep(1 - (19.5 / 24) ** 1.5, 24)
    kept = kept_of(step(6, 12, tokens), 0)

    assert len(kept) == 20
    assert order[12] - 1 not in kept
    assert order[0] - 1 in kept


def test_a_plan_keeps_every_patch_and_says_what_comes_between_the_blocks():
    images = torch.zeros(2, 3, 28, 28)

    assert ZeroTPruneTokenizer(0.3).plan(images, 14).steps == (ZeroTPruneStep(0.3, 4),) * 2
    assert ZeroTPruneTokenizer(0).plan(images, 14).steps == ()
    assert ZeroTPruneStep(0.3, 24)(5, 12, packed([25], 1)) is None


def test_attention_ranking_and_comparisons_are_counted_in_operations():
    attention, ranking = 2 * 256**2 * 384, 2 * 256**2 * 6 * 5

    counted = ZeroTPruneStep(0.5, 256).flops(256, 6, 64)

    assert counted == attention + 2 * ranking + 256 * 384 + 2 * 128**2 * 64
