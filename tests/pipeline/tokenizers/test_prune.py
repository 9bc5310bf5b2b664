import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers import PruneTokenizer
from pipeline.tokenizers.dropping import left_after
from pipeline.tokenizers.prune import PruneStep
from tests.pipeline.tokenizers.examples import attention_of, kept_of, packed


@pytest.mark.parametrize("prefix", [1, 2, 5])
@pytest.mark.parametrize("lengths", [[25, 25, 25], [25, 22, 24]])
def test_what_stays_is_what_the_class_token_attends_to_most(prefix, lengths):
    tokens = packed([prefix + count for count in lengths], prefix)

    plan = PruneStep(0.5, 25)(9, 12, tokens)

    for index in range(3):
        paid = attention_of(tokens, index).mean(dim=0)[0, prefix:].tolist()
        best = sorted(range(len(paid)), key=lambda patch: -paid[patch])[:13]
        assert kept_of(plan, index) == sorted(best)


def test_patches_go_in_three_stages_that_each_take_the_same_part():
    left = [left_after(layer, 12, 1000, 0.657) for layer in range(12)]

    assert [layer for layer, count in enumerate(left) if count is not None] == [3, 6, 9]
    # EViT's own setting keeps 0.7 each time.
    assert [left[layer] for layer in (3, 6, 9)] == pytest.approx([700, 490, 343], abs=1)


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 24])
def test_the_share_asked_for_is_gone_in_the_end_however_deep_the_model(layers):
    left = [left_after(layer, layers, 256, 0.5) for layer in range(layers)]

    assert left[-1] is None
    assert [count for count in left if count is not None][-1] == 128


def test_nothing_happens_between_the_stages_nor_where_fewer_are_left_already():
    step = PruneStep(0.5, 25)

    assert step(8, 12, packed([26, 26], 1)) is None
    assert step(9, 12, packed([11, 11], 1)) is None


def test_a_plan_keeps_every_patch_and_says_what_comes_between_the_blocks():
    images = torch.zeros(2, 3, 28, 28)

    plan = PruneTokenizer(0.3).plan(images, 14)

    assert plan.keeps_all
    assert plan.steps == (PruneStep(0.3, 4),) * 2
    assert PruneTokenizer(0).plan(images, 14).steps == ()


def test_a_share_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"--drop 1\.0"):
        PruneTokenizer(1.0)
