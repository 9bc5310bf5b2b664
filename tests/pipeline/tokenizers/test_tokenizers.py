import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer
from vocab.errors import VocabularyError
from vocab.patches import patchify
from vocab.words import Vocabulary

PATCH = 4


@pytest.fixture
def images():
    return torch.randn(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def written_out(images: torch.Tensor, words: torch.Tensor, threshold: float) -> list[list[int]]:
    """The inter-image tokenizer as the paper tells it, one patch at a time."""
    groups = []
    for patches in patchify(images, PATCH):
        distance = 1 - torch.nn.functional.cosine_similarity(patches[:, None], words[None], dim=-1)
        word = [int(d.argmin()) if d.min() <= threshold else None for d in distance]
        order = [*sorted({w for w in word if w is not None})]
        alone = [i for i, w in enumerate(word) if w is None]
        groups.append(
            [len(order) + alone.index(i) if w is None else order.index(w) for i, w in enumerate(word)]
        )
    return groups


@pytest.mark.parametrize("words", [3, 48, 49, 500])
@pytest.mark.parametrize("threshold", [0.0, 0.7, 0.85, 2.0])
def test_inter_is_the_paper_for_fewer_and_for_more_words_than_a_patch_has_numbers(images, words, threshold):
    vocabulary = Vocabulary(torch.randn(words, 3 * PATCH**2, generator=torch.Generator().manual_seed(1)))

    plan = InterTokenizer(vocabulary, threshold).plan(images, PATCH)

    assert plan.group.tolist() == written_out(images, vocabulary.words, threshold)
    assert plan.kept.tolist() == [max(group) + 1 for group in plan.group.tolist()]


def test_an_unmatched_patch_never_meets_a_word_of_a_large_vocabulary(images):
    # Numbered from the patch dimension (48), the unmatched patches would meet words 48 and up.
    patches = patchify(images[:1], PATCH)[0]
    words = torch.randn(200, 48, generator=torch.Generator().manual_seed(1))
    words[48:58] = patches[10:20]

    plan = InterTokenizer(Vocabulary(words), threshold=1e-4).plan(images[:1], PATCH)

    assert plan.kept.item() == 30
    assert plan.group[0, 10:20].tolist() == list(range(10))


def test_all_patches_of_one_word_become_one_token(images):
    plan = InterTokenizer(Vocabulary(torch.ones(1, 48)), threshold=2).plan(images, PATCH)

    assert plan.kept.tolist() == [1, 1, 1]


def test_a_plan_does_not_depend_on_the_batch(images):
    tokenizer = InterTokenizer(Vocabulary(torch.randn(60, 48)), 0.8)

    together = tokenizer.plan(images, PATCH)

    for index in range(len(images)):
        assert torch.equal(tokenizer.plan(images[index : index + 1], PATCH).group[0], together.group[index])


@pytest.mark.parametrize(("drop", "kept"), [(0.0, 30), (0.25, 23), (0.5, 15), (0.99, 1)])
def test_intra_drops_its_share_of_patches(images, drop, kept):
    plan = IntraTokenizer(drop).plan(images, PATCH)

    assert plan.kept.tolist() == [kept] * 3
    assert (~plan.dropped).sum(dim=1).tolist() == [kept] * 3


def test_intra_keeps_the_most_varied_patches_in_raster_order(images):
    plan = IntraTokenizer(0.5).plan(images, PATCH)

    variance = patchify(images, PATCH).var(dim=-1)
    assert (
        variance.masked_fill(plan.dropped, 9).amin(1) >= variance.masked_fill(~plan.dropped, 0).amax(1)
    ).all()
    for group in plan.group:
        assert group[group >= 0].tolist() == list(range(15))


def test_full_keeps_everything_in_place(images):
    plan = FullTokenizer().plan(images, PATCH)

    assert plan.group.tolist() == [list(range(30))] * 3
    assert plan.keeps_all


@pytest.mark.parametrize("drop", [-0.1, 1.0, float("nan")])
def test_a_share_to_drop_out_of_range_is_refused(drop):
    with pytest.raises(UsageError, match="--drop"):
        IntraTokenizer(drop)


@pytest.mark.parametrize("threshold", [-0.1, 2.1, float("nan")])
def test_a_threshold_out_of_range_is_refused(threshold):
    with pytest.raises(UsageError, match="--threshold"):
        InterTokenizer(Vocabulary(torch.ones(1, 48)), threshold)


def test_words_of_another_patch_size_are_refused(images):
    with pytest.raises(VocabularyError, match="patch size 2 cannot match patches of size 4"):
        InterTokenizer(Vocabulary(torch.ones(1, 12))).plan(images, PATCH)


def test_planning_is_counted_in_operations():
    assert FullTokenizer().flops(256, 14) == 0
    assert InterTokenizer(Vocabulary(torch.ones(1000, 588))).flops(256, 14) == 2 * 256 * 588 * 1000
    assert 0 < IntraTokenizer().flops(256, 14) < 1e6
