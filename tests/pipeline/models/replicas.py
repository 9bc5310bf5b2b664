"""A slow encoder that merges between blocks without packing anything: every patch holds its group's token.

Attention to all members of a group is attention to its token with the log of its size, their mean is the mean
weighted by size, and pooling over patches weighs every token by its patches. timm's blocks do all of it.
"""

from __future__ import annotations

import torch

from pipeline.models.encoder import PackedEncoder
from tests.pipeline.tokenizers.slow_merging import merged_groups


def merged(
    encoder: PackedEncoder, image: torch.Tensor, r: int, groups: list[list[int]] | None = None
) -> tuple[torch.Tensor, list[list[int]]]:
    """Runs one image with r pairs merged after every block but the last.

    Args:
        encoder: whose model is used, unpacked.
        image: (1, 3, H, W).
        r: pairs to merge per block.
        groups: patches that are merged before the first block, each group by ascending patch; None for none.

    Returns:
        (1, prefix+N, C) normalised tokens, and the patches of each group at the end.
    """
    model, prefix = encoder.model, encoder.prefix
    embedded = model._pos_embed(model.patch_embed(image))
    tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
    tokens = model.norm_pre(_means(tokens, groups or [], prefix))
    groups = groups or [[patch] for patch in range(tokens.shape[1] - prefix)]
    for layer, block in enumerate(model.blocks):
        seen: list[torch.Tensor] = []
        hook = block.attn.inner.k_norm.register_forward_hook(lambda *call, seen=seen: seen.append(call[2]))
        turn = {} if rope is None else {"rope": _of_medoids(rope, groups, encoder.grid[1])}
        tokens = block(tokens, **turn)
        hook.remove()
        if layer + 1 == len(model.blocks):
            break
        keys = seen[0][0, :, prefix:].mean(dim=0)
        joined = merged_groups(keys[[members[0] for members in groups]], r, prefix)
        groups = [[patch for index in indices for patch in groups[index]] for indices in joined]
        tokens = _means(tokens, groups, prefix)
    return model.norm(tokens), groups


def _means(tokens: torch.Tensor, groups: list[list[int]], prefix: int) -> torch.Tensor:
    """Every patch holds the mean of its group."""
    tokens = tokens.clone()
    for members in groups:
        rows = [prefix + patch for patch in members]
        tokens[:, rows] = tokens[:, rows].mean(dim=1, keepdim=True)
    return tokens


def _of_medoids(rope: torch.Tensor, groups: list[list[int]], columns: int) -> torch.Tensor:
    """Every patch turns like the member of its group that is nearest to the group's middle."""
    turned = rope.clone()
    for members in groups:
        where = torch.tensor([divmod(patch, columns) for patch in sorted(members)]).double()
        away = (where - where.mean(dim=0)).square().sum(dim=1)
        turned[members] = rope[sorted(members)[int(away.round(decimals=6).argmin())]]
    return turned
