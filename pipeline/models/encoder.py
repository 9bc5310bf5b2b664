"""A timm Vision Transformer that runs on whatever tokens a plan leaves, packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch import nn
from torch.nn.functional import pad

from pipeline.models.adapters import adapt, pool_latent
from pipeline.models.attention import AnySegments, Segments
from pipeline.models.context import AttentionContext
from pipeline.models.detection_tokens import DetectionTokens
from pipeline.models.positions import Place, Placed, Positions, Rotation
from pipeline.models.refusal import refusal
from pipeline.models.runtimes.base import Blocks, Runtime
from pipeline.models.runtimes.torch_runtime import TorchRuntime
from pipeline.models.shapes import rounded
from pipeline.models.stepping import Packing, Trail
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.steps import Attended
from vocab.linear import linear_map
from vocab.patches import patchify

if TYPE_CHECKING:
    from pipeline.models.answering import Answered

Watch: TypeAlias = Callable[[int, Attended, TokenPlan], None]


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Normalised output tokens of a batch.

    Attributes:
        tokens: (sum(prefix+kept), C) as they are packed behind the last block.
        context: their segments, and the sizes that attention to them counts by.
        trail: how they came to be.
        places: of the patches, one per image.
        answers: how frames of stateful tokenizers were answered, one per image; None for frames with plans.
        values: (B, prefix+largest N, C) that attention in `PackedEncoder.values_block` took from each patch,
            zeros where one was dropped; None where nobody asked, and of stateful tokenizers.
    """

    tokens: torch.Tensor
    context: AttentionContext
    trail: Trail
    places: Sequence[Place]
    answers: Sequence[Answered] | None = None
    values: torch.Tensor | None = None

    @property
    def segments(self) -> AnySegments:
        return self.context.segments

    @property
    def plan(self) -> TokenPlan:
        return self.trail.plan


class PackedEncoder:
    """Runs a model's own blocks on the kept tokens of a batch.

    Args:
        model: a timm model for which `refusal.refusal` has no objection; its attention gets wrapped.
        positions: of its patches; None for those that timm would give it.
        detects: those of its prefix tokens that answer with boxes; None where it has none.

    Attributes:
        answering: the prefix tokens that answers are made of; None where there are none.
        depth: blocks.
        values_block: the block whose attention's values say best what a patch belongs to: the ninth of
            twelve, counted from 0.
        grid: patches (rows, columns) that the model was built for.
        runtime: what computes the blocks; at first timm's own as they are.
    """

    def __init__(
        self,
        model: nn.Module,
        positions: Positions | None = None,
        detects: DetectionTokens | None = None,
    ) -> None:
        reason = refusal(model)
        if reason is not None:
            raise ValueError(reason)
        adapt(model)
        self.model = cast(Any, model)
        self.runtime: Runtime = TorchRuntime(Blocks.of(self.model))
        self.depth: int = len(self.model.blocks)
        self.values_block = max(3 * self.depth // 4, 1) - 1
        self.prefix: int = self.model.num_prefix_tokens
        self.patch_size: int = self.model.patch_embed.patch_size[0]
        self.grid: tuple[int, int] = tuple(self.model.patch_embed.grid_size)
        self.positions = positions or Positions(model)
        self._detects = detects
        self._projections: dict[torch.dtype, Callable[[torch.Tensor], torch.Tensor]] = {}
        # Prefix tokens may be registers alone: what those attend to says nothing.
        own = slice(1) if self.model.cls_token is not None else None
        self.answering: slice | None = own if detects is None else detects.rows

    def encode(
        self,
        images: torch.Tensor | Sequence[Placed],
        plan: TokenPlan,
        watch: Watch | None = None,
        wants_values: bool = False,
    ) -> Features:
        """Embeds all patches, then runs the kept tokens through the blocks and the plan's steps between them.

        Args:
            images: of the model's type and device, normalised: (B, 3, H, W) that are all there is, or images
                of several sizes in the order of the plan.
            plan: made for these images with this model's prefix.
            watch: for a plan with steps: told after every block what its attention was made of, and from
                patches to which tokens the plan was.
            wants_values: whether `Features.values` are to be there; blocks then run one by one.
        """
        model = self.model
        if isinstance(images, torch.Tensor):
            images = [Placed.filling(images, self.patch_size)]
        places = [place for some, place in images if place is not None for _ in range(len(some))]
        tokens = model.norm_pre(plan.apply(self._embed(images))[None])[0]
        tables = {place: self.positions.rotation(place) for place in places}
        turning = {place: table for place, table in tables.items() if table is not None}
        turns = Rotation(turning, places) if turning else None
        packing, rotation = Packing(plan, self.depth, watch is not None), _rotation(turns, plan)
        runtime, between = self.runtime, self.positions.between
        if not (plan.steps or between or wants_values):
            runtime = runtime if runtime.takes(packing.context) else runtime.stepwise
            tokens = runtime.forward(tokens, packing.context, rotation)
            return Features(tokens, packing.context, packing.trail(runtime.computed), places)
        stepwise, values = runtime.stepwise, None
        for layer in range(self.depth):
            looks = wants_values and layer == self.values_block
            context = packing.context.watched() if looks else packing.context
            tokens = stepwise.block(layer, tokens, context, rotation)
            if looks:
                values = packing.plan.restore(context.attended.values.flatten(1))
            if between is not None:
                tokens = between.planned(layer, tokens, packing.plan, places)
            if watch is not None:
                watch(layer, packing.context.attended, packing.plan)
            regrouped = packing.step(tokens)
            if regrouped is not None:
                tokens, rotation = regrouped, _rotation(turns, packing.plan)
        trail = packing.trail(stepwise.computed)
        return Features(stepwise.norm(tokens), packing.context, trail, places, values=values)

    def embed(self, parts: Sequence[tuple[torch.Tensor, Place, torch.Tensor]]) -> torch.Tensor:
        """(sum(prefix+n), C): what the first block sees of some patches of some images.

        Args:
            parts: of each image: pixels (N, 3*P*P) of its patches, their place, and which (n,) are wanted.
        """
        counts = [len(rows) for _, _, rows in parts]
        some = self._project(torch.cat([patches.index_select(0, rows) for patches, _, rows in parts]))
        added = [self.positions.added(place).index_select(0, rows) for _, place, rows in parts]
        some = some + torch.cat(added)
        images = [part for own in some.split(counts) for part in (self.positions.prefix(), own)]
        return cast(torch.Tensor, self.model.norm_pre(torch.cat(images)))

    def _embed(self, images: Sequence[Placed]) -> torch.Tensor:
        """(B, prefix+N, C): prefix tokens and patches with their positions; zeros beyond an image's last."""
        embedded = [self._embed_alike(*some) for some in images]
        if len(embedded) == 1:
            return embedded[0]
        most = max(tokens.shape[1] for tokens in embedded)
        return torch.cat([pad(tokens, (0, 0, 0, most - tokens.shape[1])) for tokens in embedded])

    def _embed_alike(self, images: torch.Tensor, place: Place | None) -> torch.Tensor:
        assert place is not None, "an encoder's images have places"
        # First of the type that is multiplied, since there is less to move then.
        pixels = patchify(images.to(self.runtime.dtype), self.patch_size)
        patches = self._project(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
        patches = patches + self.positions.added(place)
        return torch.cat([self.positions.prefix().expand(len(images), -1, -1), patches], dim=1)

    def _project(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, 3*P*P) of patches -> (n, C), computed in what the blocks are, of the model's own type."""
        embed, dtype, total = self.model.patch_embed, self.runtime.dtype, len(pixels)
        if dtype not in self._projections:
            weight, bias = embed.proj.weight.detach().flatten(1).to(dtype), embed.proj.bias
            self._projections[dtype] = linear_map(weight, None if bias is None else bias.detach().to(dtype))
        pixels = pixels.to(dtype)
        if rounded(total) > total:
            pixels = pad(pixels, (0, 0, 0, rounded(total) - total))
        projected = self._projections[dtype](pixels)[:total]
        return cast(torch.Tensor, embed.norm(projected.to(embed.proj.weight.dtype)))

    def head(self, features: Features, pre_logits: bool = False) -> torch.Tensor:
        """The model's own head on packed features.

        Average pooling weights each token by the patches it stands for, attention pooling by what it weighed
        in the encoder. What detection tokens come to is `DetectionTokens.pooled`.

        Args:
            features: from `encode`.
            pre_logits: give the pooled features (B, C) instead of the class scores (B, classes).
        """
        model = self.model
        if self._detects is not None:
            return self._detects.pooled(self.detections(features))
        if getattr(model, "attn_pool", None) is not None:
            tokens, context = features.tokens, features.context
            if not getattr(model, "pool_include_prefix", True):
                tokens, context = self._without_prefix(features)
            pooled = model.head_drop(model.fc_norm(pool_latent(model.attn_pool, tokens, context)))
            return pooled if pre_logits else model.head(pooled)
        return model.forward_head(self._summary(features), pre_logits=pre_logits)

    def patch_grids(self, features: Features) -> Iterator[torch.Tensor]:
        """(b, C, rows, columns) of images side by side that have a grid in common, in the batch's order.

        Every patch gets its token; dropped patches get zeros.
        """
        patches = features.plan.restore(features.tokens)[:, self.prefix :].transpose(1, 2)
        first = 0
        for grid, alike in groupby(place.grid for place in features.places):
            last = first + len(list(alike))
            yield patches[first:last, :, : grid[0] * grid[1]].unflatten(-1, grid)
            first = last

    def detections(self, features: Features) -> torch.Tensor:
        """(B, D, C) detection tokens of a detector."""
        assert self._detects is not None, "the model is no detector"
        return self._prefix_tokens(features)[:, self._detects.rows]

    def _prefix_tokens(self, features: Features) -> torch.Tensor:
        """(B, prefix, C)."""
        count = len(features.segments.lengths)
        if count == 1:
            return features.tokens[None, : self.prefix]
        starts = features.segments.offsets[:-1].long()
        rows = starts[:, None] + torch.arange(self.prefix, device=starts.device)
        return features.tokens[rows.flatten()].unflatten(0, (count, self.prefix))

    def _summary(self, features: Features) -> torch.Tensor:
        """A short dense batch (B, t, C) on which timm's own pooling gives the pooled result."""
        prefix = self._prefix_tokens(features)
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


def _rotation(turns: Rotation | None, plan: TokenPlan) -> torch.Tensor | None:
    """What each packed token turns by; None where the model has no rotary embedding."""
    return None if turns is None else turns.of(plan)
