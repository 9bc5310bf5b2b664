"""What steps see of the block that has just run."""

import pytest
import torch

from pipeline.tokenizers.steps import Attended, PackedTokens


def packed(lengths: list[int], bias: bool = True) -> PackedTokens:
    generator = torch.Generator().manual_seed(0)
    total = sum(lengths)
    queries, keys, values = (torch.randn(total, 3, 4, generator=generator) for _ in range(3))
    attended = Attended(queries, keys, values, torch.rand(total, generator=generator) if bias else None)
    return PackedTokens(torch.zeros(total, 12), keys, attended, torch.ones(total), lengths, 1)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("asking", [slice(1), slice(2, 4), slice(None)])
def test_attention_is_the_softmax_of_every_image_by_itself(bias, asking):
    tokens = packed([5, 5], bias)

    paid = tokens.attention(asking)

    for image, weights in enumerate(paid):
        own = tokens.images(slice(image, image + 1)).attended
        for head in range(3):
            scores = own.queries[:, head] @ own.keys[:, head].T / 4**0.5
            if bias:
                scores = scores + own.bias
            torch.testing.assert_close(weights[head], scores.softmax(dim=-1)[asking])


def test_images_of_other_lengths_are_seen_alone():
    tokens = packed([5, 3, 5])

    alone = tokens.images(slice(1, 2))

    assert torch.equal(alone.attended.values, tokens.attended.values[5:8])
    assert alone.attention(slice(1)).shape == (1, 3, 1, 3)
