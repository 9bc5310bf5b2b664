"""Adapters that let timm's own transformer blocks run on packed tokens, one per attention family.

A block passes its `attn_mask` argument on to its attention untouched; the encoder puts an `AttentionContext`
there.
Everything else in a block works token by token, so timm's block code runs as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional as F

from pipeline.models.attention import Segments, ragged_attention
from pipeline.models.context import AttentionContext
from pipeline.tokenizers.steps import Attended

if TYPE_CHECKING:
    from timm.layers import AttentionPoolLatent


def adapt(model: nn.Module) -> None:
    """Wraps the attention of every block; the model still works unpacked. Idempotent."""
    blocks = cast(Any, model).blocks
    for block in blocks:
        if not isinstance(block.attn, PackedAttention):
            block.attn = PackedAttention(block.attn)


class PackedAttention(nn.Module):
    """Self-attention of timm (plain, rotary or EVA) that also takes packed sequences.

    Args:
        inner: the attention module whose weights are used.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        # Calls that change nothing cost as much as a small layer, where tokens are few.
        layers = (getattr(inner, name, None) for name in ("q_norm", "k_norm", "norm"))
        self._norms = [None if type(layer) is nn.Identity else layer for layer in layers]

    def forward(
        self,
        x: torch.Tensor,
        attn_mask: AttentionContext | torch.Tensor | None = None,
        rope: torch.Tensor | None = None,
        **options: Any,
    ) -> torch.Tensor:
        """Attends within segments when `attn_mask` is an AttentionContext, else as the wrapped module does.

        Args:
            x: (1, T, C) packed tokens, or (B, N, C).
            attn_mask: the context of the packed tokens, or an ordinary mask.
            rope: (T, 2*D) rotary embedding per packed token, or what the wrapped module wants.
            options: passed to the wrapped module in the unpacked case.
        """
        inner = cast(Any, self.inner)
        if not isinstance(attn_mask, AttentionContext):
            if rope is not None:
                options["rope"] = rope
            return inner(x, attn_mask=attn_mask, **options)
        mixed = self.mix(x[0], attn_mask, rope)
        if getattr(inner, "gate", None) is not None:
            mixed = mixed * inner.gate(x[0]).sigmoid()
        return inner.proj(mixed)[None]

    def mix(
        self, x: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None = None
    ) -> torch.Tensor:
        """All of the attention but its gate and its last layer: (T, C) -> (T, C)."""
        inner = cast(Any, self.inner)
        segments, key_bias, capture = context.segments, context.key_bias, context.capture
        query, key, value = self._project(x)
        query_norm, key_norm, norm = self._norms
        query = query if query_norm is None else query_norm(query)
        key = key if key_norm is None else key_norm(key)
        if capture is not None:
            capture.keys = key
        if rope is not None:
            from timm.layers import apply_rot_embed_cat

            half = getattr(inner, "rotate_half", False)
            rotate = [apply_rot_embed_cat(t.transpose(0, 1), rope, half=half) for t in (query, key)]
            query, key = (t.transpose(0, 1).type_as(value) for t in rotate)
        if key.shape[1] != query.shape[1]:  # grouped queries: each key serves several heads
            key, value = (t.repeat_interleave(inner.num_kv_groups, dim=1) for t in (key, value))
        if capture is not None and capture.wants_attention:
            capture.attended = Attended(query, key, value, key_bias)
        if context.recalled is None:
            mixed = ragged_attention(query, key, value, segments, segments, key_bias)
        else:
            mixed = context.recalled.attend(query, key, value, segments)
        flat = mixed.flatten(1)
        return flat if norm is None else cast(torch.Tensor, norm(flat))

    def _project(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(T, C) -> query, key, value, each (T, heads, D)."""
        inner = cast(Any, self.inner)
        width: int = inner.head_dim
        if inner.qkv is None:
            parts = (project(x) for project in (inner.q_proj, inner.k_proj, inner.v_proj))
            query, key, value = (part.unflatten(-1, (-1, width)) for part in parts)
            return query, key, value
        if getattr(inner, "q_bias", None) is not None:
            bias = torch.cat((inner.q_bias, inner.k_bias, inner.v_bias))
            packed = F.linear(x, inner.qkv.weight, bias)
        else:
            packed = inner.qkv(x)
        query, key, value = packed.view(len(x), 3, -1, width).unbind(1)
        return query, key, value


def pool_latent(pool: AttentionPoolLatent, tokens: torch.Tensor, context: AttentionContext) -> torch.Tensor:
    """timm's attention pooling over packed tokens.

    Args:
        pool: the module whose weights are used.
        tokens: (T, C).
        context: where the tokens of each image lie, and what their keys weigh.

    Returns:
        (B, C) pooled features.
    """
    count = len(context.segments.lengths)
    query = pool.q(pool.latent).expand(count, -1, -1).flatten(0, 1).unflatten(-1, (pool.num_heads, -1))
    key, value = (t.unflatten(-1, (pool.num_heads, -1)) for t in pool.kv(tokens).chunk(2, dim=-1))
    asks = Segments.of([pool.latent_len] * count, tokens.device)
    query, key = pool.q_norm(query), pool.k_norm(key)
    mixed = ragged_attention(query, key, value, asks, context.segments, context.key_bias)
    pooled = pool.proj(mixed.flatten(1).unflatten(0, (count, -1)))
    if pool.mlp is not None:
        pooled = pooled + pool.mlp(pool.norm(pooled))
    if pool.pool == "token":
        return pooled[:, 0]
    return pooled.mean(dim=1) if pool.pool == "avg" else pooled
