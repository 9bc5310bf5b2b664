"""Attention over packed sequences of different lengths: no padding, nobody attends across an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch.nn import functional as F


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """Where each sequence lies in a packed (sum(lengths), ...) tensor.

    Attributes:
        lengths: tokens per sequence, on the host.
        offsets: (B+1,) int32 on the device: start of each sequence, then the total.
    """

    lengths: Sequence[int]
    offsets: torch.Tensor

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Segments:
        """Builds the offsets for `lengths` without waiting for the device."""
        offsets = torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)
        if device.type == "cuda":
            offsets = offsets.pin_memory().to(device, non_blocking=True)
        return cls(lengths, offsets)

    @property
    def uniform(self) -> int | None:
        """The common length, or None where lengths differ."""
        return self.lengths[0] if len(set(self.lengths)) == 1 else None


def ragged_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, queries: Segments, keys: Segments
) -> torch.Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: (sum(queries.lengths), H, D).
        key, value: (sum(keys.lengths), H, D).
        queries, keys: one segment per sequence, in the same order.

    Returns:
        (sum(queries.lengths), H, D).
    """
    count = len(queries.lengths)
    if queries.uniform is not None and keys.uniform is not None:
        dense = [x.unflatten(0, (count, -1)).transpose(1, 2) for x in (query, key, value)]
        return F.scaled_dot_product_attention(*dense).transpose(1, 2).flatten(0, 1)
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        from torch.nn.attention.varlen import varlen_attn

        longest = max(queries.lengths), max(keys.lengths)
        packed = varlen_attn(query, key, value, queries.offsets, keys.offsets, *longest)
        assert isinstance(packed, torch.Tensor)
        return packed
    sequences = zip(
        query.split(list(queries.lengths)),
        key.split(list(keys.lengths)),
        value.split(list(keys.lengths)),
        strict=True,
    )
    return torch.cat(
        [
            F.scaled_dot_product_attention(*(x.transpose(0, 1)[None] for x in sequence))[0].transpose(0, 1)
            for sequence in sequences
        ]
    )
