import torch

from pipeline.tokenizers import RandomTokenizer
from tests.pipeline.tokenizers.examples import kept_of


def frames(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 3, 112, 112, generator=torch.Generator().manual_seed(seed))


def test_the_share_asked_for_is_dropped_and_the_rest_stays_in_place():
    plan = RandomTokenizer(0.3).plan(frames(3), 14)

    assert [len(kept_of(plan, index)) for index in range(3)] == [64 - 19] * 3
    assert RandomTokenizer(0).plan(frames(3), 14).keeps_all


def test_a_frame_keeps_the_same_patches_in_any_batch():
    images = frames(5)
    tokenizer = RandomTokenizer(0.5)

    together = tokenizer.plan(images, 14)

    for index, frame in enumerate(images):
        assert torch.equal(tokenizer.plan(frame[None], 14).group[0], together.group[index])
    turned = tokenizer.plan(images.flip(0), 14)
    assert torch.equal(turned.group, together.group.flip(0))


def test_frames_that_differ_in_one_pixel_keep_others():
    images = frames(1).repeat(2, 1, 1, 1)
    images[1, 2, 50, 60] += 1e-6

    first, second = RandomTokenizer(0.5).plan(images, 14).dropped

    assert 10 < int((first != second).sum()) < 54


def test_every_patch_is_dropped_as_often_as_any_other_and_without_its_neighbour():
    dropped = RandomTokenizer(0.5).plan(frames(1000), 14).dropped.float()

    # Six times the standard deviation of 1000 throws, and of the correlation of as many pairs.
    assert (dropped.mean(dim=0) - 0.5).abs().max() < 0.1
    correlation = torch.corrcoef(dropped.T) - torch.eye(64)
    assert correlation.abs().max() < 0.2
