"""Packed tokens of a block that never ran, for tests of steps."""

from __future__ import annotations

import torch

from pipeline.tokenizers import PackedTokens, TokenPlan
from pipeline.tokenizers.steps import Attended


def packed(lengths: list[int], prefix: int, seed: int = 0, sizes: torch.Tensor | None = None) -> PackedTokens:
    """Random tokens (12 channels), keys and attention (3 heads of 4).

    Args:
        lengths: tokens per image, prefix included.
        prefix: prefix tokens per image.
        seed: of the random numbers.
        sizes: patches per token; None for one each.
    """
    generator = torch.Generator().manual_seed(seed)
    total = sum(lengths)
    tokens = torch.randn(total, 12, generator=generator)
    queries, keys, values = (torch.randn(total, 3, 4, generator=generator) for _ in range(3))
    bias = None if sizes is None else sizes.log()
    sizes = torch.ones(total) if sizes is None else sizes
    return PackedTokens(tokens, keys, Attended(queries, keys.clone(), values, bias), sizes, lengths, prefix)


def image(tokens: PackedTokens, index: int) -> PackedTokens:
    """One of the images."""
    return tokens.images(slice(index, index + 1))


def groups_of(group: torch.Tensor) -> list[list[int]]:
    """The members of every token, in order."""
    return [(group == token).nonzero().flatten().tolist() for token in range(int(group.max()) + 1)]


def kept_of(plan: TokenPlan, index: int) -> list[int]:
    """The patches of an image that a plan did not drop; each has to be a token of its own, in place."""
    kept: list[int] = (plan.group[index] >= 0).nonzero().flatten().tolist()
    assert plan.group[index, kept].tolist() == list(range(len(kept)))
    assert plan.kept_list()[index] == len(kept)
    return kept


def attention_of(tokens: PackedTokens, index: int) -> torch.Tensor:
    """(heads, tokens, tokens): what every token of an image paid to every other, written out."""
    attended = image(tokens, index).attended
    assert attended is not None
    heads = []
    for head in range(attended.queries.shape[1]):
        scores = attended.queries[:, head] @ attended.keys[:, head].T / attended.queries.shape[2] ** 0.5
        heads.append((scores if attended.bias is None else scores + attended.bias).softmax(dim=1))
    return torch.stack(heads)
