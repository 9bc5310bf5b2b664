import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers import AtsTokenizer, PackedTokens
from pipeline.tokenizers.ats import AtsStep, significance
from tests.pipeline.tokenizers.examples import attention_of, image, kept_of, packed


def slow_significance(tokens: PackedTokens, index: int) -> list[float]:
    """Equation 4 of the paper, head by head and patch by patch."""
    own = image(tokens, index)
    paid = attention_of(tokens, index)[:, 0]
    count = own.kept[0]
    scores = [0.0] * count
    for head in range(len(paid)):
        taken = [
            float(paid[head, own.prefix + patch] * own.attended.values[own.prefix + patch, head].norm())
            for patch in range(count)
        ]
        scores = [score + one / sum(taken) / len(paid) for score, one in zip(scores, taken, strict=True)]
    return scores


def slow_sample(scores: list[float], samples: int) -> list[int]:
    """Inverse transform sampling at 1/2K, 3/2K and so on."""
    met = set()
    for number in range(samples):
        point, passed = (2 * number + 1) / (2 * samples), 0.0
        for patch, score in enumerate(scores):
            passed += score
            if passed >= point:
                met.add(patch)
                break
    return sorted(met)


@pytest.mark.parametrize("prefix", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 8, 25, 100])
@pytest.mark.parametrize("counts", [[25, 25, 25], [25, 3, 14]])
def test_sampling_is_the_paper_written_out_patch_by_patch(prefix, samples, counts):
    tokens = packed([prefix + count for count in counts], prefix)

    plan = AtsStep(samples)(3, 12, tokens)

    for index in range(3):
        assert kept_of(plan, index) == slow_sample(slow_significance(tokens, index), samples)
        torch.testing.assert_close(
            significance(image(tokens, index))[0], torch.tensor(slow_significance(tokens, index))
        )


def test_a_frame_with_little_in_it_keeps_fewer_tokens():
    tokens = packed([26, 26], 1)
    # The class token of the second image looks at two patches only.
    tokens.attended.queries[26] = torch.tensor([9.0, 0.0, 0.0, 0.0])
    tokens.attended.keys[26:] = 0
    tokens.attended.keys[[30, 40]] = torch.tensor([9.0, 0.0, 0.0, 0.0])

    plan = AtsStep(20)(3, 12, tokens)

    many, few = plan.kept_list()
    assert many > 8
    assert kept_of(plan, 1) == [3, 13]
    assert few == 2


def test_a_patch_of_more_than_its_share_is_sure_to_stay():
    tokens = packed([101] * 4, 1, seed=3)

    plan = AtsStep(50)(3, 12, tokens)

    for index in range(4):
        large = [patch for patch, score in enumerate(slow_significance(tokens, index)) if score > 1 / 50]
        assert large
        assert set(large) <= set(kept_of(plan, index))


def test_it_begins_after_a_quarter_of_the_depth():
    tokens = packed([26, 26], 1)

    assert [layer for layer in range(12) if AtsStep(5)(layer, 12, tokens) is not None] == list(range(3, 12))


def test_a_plan_keeps_every_patch_and_says_what_comes_between_the_blocks():
    images = torch.zeros(2, 3, 56, 56)

    plan = AtsTokenizer(0.3).plan(images, 14)

    assert plan.keeps_all
    assert plan.steps == (AtsStep(12),) * 2
    assert AtsTokenizer(0).plan(images, 14).steps == ()


def test_a_share_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"--drop -0\.1"):
        AtsTokenizer(-0.1)
