"""A timm Vision Transformer that runs on whatever tokens a plan leaves, packed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from pipeline.models.adapters import adapt, pool_latent
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext
from pipeline.models.refusal import refusal
from pipeline.models.runtimes.base import Blocks, Runtime
from pipeline.models.runtimes.torch_runtime import TorchRuntime
from pipeline.models.stepping import Packing, Trail
from pipeline.tokenizers.plan import TokenPlan


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Normalised output tokens of a batch.

    Attributes:
        tokens: (sum(prefix+kept), C) as they are packed behind the last block.
        context: their segments, and the sizes that attention to them counts by.
        trail: how they came to be.
    """

    tokens: torch.Tensor
    context: AttentionContext
    trail: Trail

    @property
    def segments(self) -> Segments:
        return self.context.segments

    @property
    def plan(self) -> TokenPlan:
        return self.trail.plan


class PackedEncoder:
    """Runs a model's own blocks on the kept tokens of a batch.

    Args:
        model: a timm model for which `refusal.refusal` has no objection; its attention gets wrapped.

    Attributes:
        runtime: what computes the blocks; at first timm's own as they are.
    """

    def __init__(self, model: nn.Module) -> None:
        reason = refusal(model)
        if reason is not None:
            raise ValueError(reason)
        adapt(model)
        self.model = cast(Any, model)
        self.runtime: Runtime = TorchRuntime(Blocks.of(self.model))
        self._depth = len(self.model.blocks)
        self.prefix: int = self.model.num_prefix_tokens
        self.patch_size: int = self.model.patch_embed.patch_size[0]
        self.grid: tuple[int, int] = tuple(self.model.patch_embed.grid_size)

    def encode(self, images: torch.Tensor, plan: TokenPlan) -> Features:
        """Embeds all patches, then runs the kept tokens through the blocks and the plan's steps between them.

        Args:
            images: (B, 3, H, W) normalised, of the model's type and device.
            plan: made for these images with this model's prefix.
        """
        model = self.model
        embedded = model._pos_embed(model.patch_embed(images))
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        tokens = model.norm_pre(plan.apply(tokens)[None])[0]
        packing = Packing(plan, self._depth)
        rotation = self._rotation(rope, plan)
        runtime = self.runtime
        if not plan.steps:
            tokens = runtime.forward(tokens, packing.context, rotation)
            return Features(tokens, packing.context, packing.trail(runtime.computed))
        stepwise = runtime.stepwise
        for layer in range(self._depth):
            tokens = stepwise.block(layer, tokens, packing.context, rotation)
            regrouped = packing.step(tokens)
            if regrouped is not None:
                tokens, rotation = regrouped, self._rotation(rope, packing.plan)
        return Features(stepwise.norm(tokens), packing.context, packing.trail(stepwise.computed))

    def head(self, features: Features, pre_logits: bool = False) -> torch.Tensor:
        """The model's own head on packed features.

        Average pooling weights each token by the patches it stands for, attention pooling by what it weighed
        in the encoder.

        Args:
            features: from `encode`.
            pre_logits: give the pooled features (B, C) instead of the class scores (B, classes).
        """
        model = self.model
        if getattr(model, "attn_pool", None) is not None:
            tokens, context = features.tokens, features.context
            if not getattr(model, "pool_include_prefix", True):
                tokens, context = self._without_prefix(features)
            pooled = model.head_drop(model.fc_norm(pool_latent(model.attn_pool, tokens, context)))
            return pooled if pre_logits else model.head(pooled)
        return model.forward_head(self._summary(features), pre_logits=pre_logits)

    def patch_grid(self, features: Features) -> torch.Tensor:
        """(B, C, rows, columns): every patch gets its token; dropped patches get zeros."""
        patches = features.plan.restore(features.tokens)[:, self.prefix :]
        return patches.transpose(1, 2).unflatten(-1, self.grid)

    def _summary(self, features: Features) -> torch.Tensor:
        """A short dense batch (B, t, C) on which timm's own pooling gives the pooled result."""
        count = len(features.segments.lengths)
        starts = features.segments.offsets[:-1].long()
        rows = starts[:, None] + torch.arange(self.prefix, device=starts.device)
        prefix = features.tokens[rows.flatten()].unflatten(0, (count, self.prefix))
        if self.model.global_pool != "avg":
            return prefix
        patches = features.plan.restore(features.tokens)[:, self.prefix :].to(torch.float32)
        kept = (~features.plan.dropped).sum(dim=1, keepdim=True)[..., None]
        total = patches.sum(dim=1, keepdim=True)
        if getattr(self.model, "pool_include_prefix", False):
            whole = total + prefix.to(torch.float32).sum(dim=1, keepdim=True)
            return (whole / (kept + self.prefix)).to(prefix.dtype)
        return torch.cat([prefix, (total / kept).to(prefix.dtype)], dim=1)

    def _without_prefix(self, features: Features) -> tuple[torch.Tensor, AttentionContext]:
        lengths, key_bias = list(features.segments.lengths), features.context.key_bias

        def patches(rows: torch.Tensor) -> torch.Tensor:
            return torch.cat([part[self.prefix :] for part in rows.split(lengths)])

        segments = Segments.of([length - self.prefix for length in lengths], features.tokens.device)
        context = AttentionContext(segments, None if key_bias is None else patches(key_bias))
        return patches(features.tokens), context

    def _rotation(self, rope: torch.Tensor | None, plan: TokenPlan) -> torch.Tensor | None:
        """What each packed token turns by; None where the model has no rotary embedding."""
        return None if rope is None else self._packed_rope(rope, plan)

    def _packed_rope(self, rope: torch.Tensor, plan: TokenPlan) -> torch.Tensor:
        """(N, 2*D) sines and cosines per position -> (sum(prefix+kept), 2*D) per packed token.

        A merged group turns like its medoid; prefix tokens do not turn.
        """
        kept = rope[plan.representatives(self.grid[1])]
        still = torch.cat([rope.new_zeros(rope.shape[1] // 2), rope.new_ones(rope.shape[1] // 2)])
        ends = plan.kept.cumsum(0)
        within = torch.arange(len(kept), device=rope.device)
        image = torch.searchsorted(ends, within, right=True)
        packed = still.repeat(len(kept) + plan.prefix * len(plan.kept), 1)
        return packed.index_copy_(0, within + (image + 1) * plan.prefix, kept)
