"""Attention over packed sequences of different lengths: no padding, nobody attends across an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, TypeAlias

import torch
from torch.nn import functional as F

from pipeline.models.shapes import rounded
from pipeline.sending import sent

# Up to so many keys all scores of a sequence are computed at once, in bfloat16 on the CPU.
_SHORT = 640


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
        return cls(lengths, sent([0, *accumulate(lengths)], device, torch.int32))

    @property
    def uniform(self) -> int | None:
        """The common length, or None where lengths differ."""
        return self.lengths[0] if len(set(self.lengths)) == 1 else None

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(self.lengths)


@dataclass(frozen=True, slots=True, eq=False)
class StaticSegments:
    """Sequences of a pass that is replayed: how long they are is read where they are attended to.

    Attributes:
        offsets: (sequences+1,) int32 on the device, as of `Segments`; written anew before every replay, where
            sequences that there are not have no length.
        longest: no sequence ever has more tokens.
        uniform: never known.
    """

    offsets: torch.Tensor
    longest: int
    uniform: ClassVar[None] = None

    @property
    def lengths(self) -> Sequence[int]:
        """Tokens per sequence that has any. Waits for the device, so no capture may ask."""
        return [length for length in self.offsets.diff().tolist() if length]


AnySegments: TypeAlias = Segments | StaticSegments


def ragged_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    queries: AnySegments,
    keys: AnySegments,
    key_bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Scaled dot-product attention within each sequence.

    Args:
        query: (sum(queries.lengths), H, D).
        key, value: (sum(keys.lengths), H, D).
        queries, keys: one segment per sequence, in the same order.
        key_bias: (sum(keys.lengths),) float32, added to the scores of each key.

    Returns:
        (sum(queries.lengths), H, D).
    """
    has_varlen = query.is_cuda and query.dtype in (torch.float16, torch.bfloat16)
    uniform = queries.uniform is not None and keys.uniform is not None
    # A mask rules out the fast kernels on CUDA, and costs nothing on the CPU.
    if uniform and (key_bias is None or not has_varlen):
        count = len(queries.lengths)
        query, key, value = (x.unflatten(0, (count, -1)) for x in (query, key, value))
        bias = None if key_bias is None else key_bias.view(count, -1)
        return attend(query, key, value, bias).flatten(0, 1)
    if has_varlen:
        from torch.nn.attention.varlen import varlen_attn

        width = query.shape[-1]
        if key_bias is not None:
            query, key, value = bias_as_channels(query, key, value, key_bias)
        longest = queries.longest, keys.longest
        packed = varlen_attn(query, key, value, queries.offsets, keys.offsets, *longest, scale=width**-0.5)
        assert isinstance(packed, torch.Tensor)
        return packed[..., :width]
    asks, answers = list(queries.lengths), list(keys.lengths)
    biases = [None] * len(asks) if key_bias is None else key_bias.split(answers)
    sequences = zip(
        query.split(asks),
        key.split(answers),
        value.split(answers),
        biases,
        strict=True,
    )
    return torch.cat(
        [
            attend(q[None], k[None], v[None], None if bias is None else bias[None])[0]
            for q, k, v, bias in sequences
        ]
    )


def attend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_bias: torch.Tensor | None = None
) -> torch.Tensor:
    """(B, T, H, D) queries, (B, S, H, D) keys and values, (B, S) bias -> (B, T, H, D)."""
    mask = None if key_bias is None else key_bias.to(query.dtype)[:, None, None]
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    if _short(query, key.shape[-2]):
        batch, heads, *_ = query.shape
        if mask is not None:
            mask = mask.expand(-1, heads, -1, -1).flatten(0, 1)
        query, key, value = (x.flatten(0, 1) for x in (query, key, value))
        return _attend_short(query, key, value, mask).unflatten(0, (batch, heads)).transpose(1, 2)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)


def attend_part(
    query: torch.Tensor, start: int, end: int, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """(H, T, D) queries, of which those from `start` to `end` attend to (H, S, D): (end-start, H, D).

    Where that keeps shapes few, some of the others ask as well, to no avail.
    """
    if not _short(query, key.shape[1]):
        asks = query[None, :, start:end]
        return F.scaled_dot_product_attention(asks, key[None], value[None])[0].transpose(0, 1)
    count = rounded(end - start)
    last = min(start + count, query.shape[1])
    first = max(last - count, 0)
    mixed = _attend_short(query[:, first:last], key, value).transpose(0, 1)
    return mixed[start - first : end - first]


def _short(query: torch.Tensor, keys: int) -> bool:
    return not query.is_cuda and query.dtype == torch.bfloat16 and keys <= _SHORT


def _attend_short(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Attention with all its scores at once, which few keys allow: (B, T, D), (B, S, D) -> (B, T, D).

    In bfloat16 on the CPU it takes .43 of the time of torch's own kernel, 64 to 257 keys, Zen 5.
    """
    start, weight = (query.new_zeros(()), 0) if mask is None else (mask, 1)
    scores = torch.baddbmm(start, query, key.transpose(1, 2), beta=weight, alpha=query.shape[2] ** -0.5)
    return torch.bmm(scores.softmax(dim=-1), value)


def bias_as_channels(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, key_bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Puts a bias on the keys into more channels, for attention that takes none.

    The query's new channels hold ones, the key's the bias: in two parts, since half precision alone would
    change it by up to 0.4 %.

    Args:
        query: (T, H, D).
        key, value: (S, H, D).
        key_bias: (S,) float32.

    Returns:
        The three with 8 channels more, as kernels want it. Their attention, scaled by D**-0.5 as before, has
        the result in its first D channels.
    """
    whole = key_bias * query.shape[-1] ** 0.5
    high = whole.to(key.dtype)
    low = (whole - high).to(key.dtype)
    channels = F.pad(torch.stack([high, low], dim=-1), (0, 6))
    return (
        torch.cat([query, query.new_ones(*query.shape[:2], 8)], dim=-1),
        torch.cat([key, channels[:, None].expand(-1, key.shape[1], -1)], dim=-1),
        F.pad(value, (0, 8)),
    )
