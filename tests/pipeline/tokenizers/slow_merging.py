"""Token merging as its paper tells it, one token at a time; shared with the tests of the encoder."""

from __future__ import annotations

import torch
from torch.nn.functional import cosine_similarity


def merged_groups(keys: torch.Tensor, r: int, prefix: int) -> list[list[int]]:
    """Which patch tokens become one, in the order of the tokens they become.

    Args:
        keys: (N, D) of the patch tokens.
        r: pairs to merge.
        prefix: tokens before the first patch token, which count when tokens are numbered.
    """
    even = [index for index in range(len(keys)) if (prefix + index) % 2 == 0]
    odd = [index for index in range(len(keys)) if (prefix + index) % 2 == 1]
    r = min(r, len(keys) // 2)
    if r == 0:
        return [[index] for index in range(len(keys))]
    pairs = []
    for index in even:
        similar = cosine_similarity(keys[index][None], keys[odd], dim=1)
        pairs.append((float(similar.max()), index, odd[int(similar.argmax())]))
    partners = {index: partner for _, index, partner in sorted(pairs, reverse=True)[:r]}
    stay = [[index] for index in even if index not in partners]
    return stay + [[partner, *(i for i in even if partners.get(i) == partner)] for partner in odd]
