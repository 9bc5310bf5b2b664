"""The steps of a batch between the blocks: asking them, and packing anew what they decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise, zip_longest

import torch

from pipeline.models.attention import AnySegments, Segments
from pipeline.models.context import AttentionContext, Capture
from pipeline.runtimes import Computed
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.steps import BlockStep, PackedTokens


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """What became of the patches of a batch on their way through the blocks.

    Attributes:
        plan: all steps in one: the token behind the last block that each patch went to.
        kept: patch tokens that ran through each block, per image: kept[block][image].
        step_flops: operations of the steps, per image.
        computed: what ran the blocks.
    """

    plan: TokenPlan
    kept: Sequence[Sequence[int]]
    step_flops: Sequence[int]
    computed: Computed

    def kept_by(self, image: int) -> list[int]:
        """Patch tokens of one image that ran through each block."""
        return [kept[image] for kept in self.kept]


class Packing:
    """How a batch is packed while it goes through the blocks; changes wherever a step wants it.

    Args:
        plan: the packing before the first block, with the steps to come.
        layers: blocks of the model.
        watched: whether every block is to leave what its attention was made of, the last one too; the plan
            has steps then.

    Attributes:
        context: for the attention of the next block.
        plan: from the patches to the tokens as they are packed now.
    """

    def __init__(self, plan: TokenPlan, layers: int, watched: bool = False) -> None:
        self.plan = plan
        self._layers = layers
        self._kept = [plan.kept_list()]
        self._step_flops = [0] * len(plan.group)
        runs = [(step, len(list(same))) for step, same in groupby(plan.steps)]
        edges = [0, *accumulate(count for _, count in runs)]
        self._runs = [(step, slice(*edge)) for (step, _), edge in zip(runs, pairwise(edges), strict=True)]
        self._watched = watched
        self._attention = watched or any(step.wants_attention for step in plan.steps if step is not None)
        self._sizes: torch.Tensor | None = None
        counts = [
            step is not None or proportional
            for step, proportional in zip_longest(plan.steps, plan.proportional, fillvalue=None)
        ]
        if any(counts) or plan.steps:
            sizes = plan.sizes(plan.prefix).split(self._lengths())
            # Tokens of the other images weigh alike, whatever they stand for.
            self._sizes = torch.cat(
                [
                    some if counted else torch.ones_like(some)
                    for some, counted in zip(sizes, counts, strict=True)
                ]
            )
        segments = Segments.of(self._lengths(), plan.group.device)
        self.context = self._context(segments, merged=any(counts) and not plan.keeps_all)

    def trail(self, computed: Computed) -> Trail:
        """What became of the patches, once all blocks have run."""
        kept = [*self._kept, *self._kept[-1:] * (self._layers - len(self._kept))]
        return Trail(self.plan, kept, self._step_flops, computed)

    def step(self, tokens: torch.Tensor) -> torch.Tensor | None:
        """Asks the steps after a block that ran on `context`, which then is for the next one.

        Args:
            tokens: (T, C), the block's output.

        Returns:
            The tokens packed anew, or None where they stay as they are.
        """
        if not self._runs or len(self._kept) == self._layers:
            return None
        capture = self.context.capture
        assert self._sizes is not None
        assert capture is not None
        assert capture.keys is not None, "the block has not run on the context"
        packed = PackedTokens(
            tokens, capture.keys, capture.attended, self._sizes, self._lengths(), self.plan.prefix
        )
        asked = [self._ask(step, images, packed) for step, images in self._runs]
        if all(later is None for later in asked):
            self._kept.append(self._kept[-1])
            self.context = self._context(self.context.segments, self.context.key_bias is not None)
            return None
        plans = [
            self._stay(images) if one is None else one
            for one, (_, images) in zip(asked, self._runs, strict=True)
        ]
        later = TokenPlan.join(plans)
        tokens, self._sizes = self._regrouped(packed, plans, later)
        self.plan = self.plan.then(later)
        self._kept.append(later.kept_list())
        self.context = self._context(Segments.of(self._lengths(), tokens.device), merged=True)
        return tokens

    def _ask(self, step: BlockStep | None, images: slice, packed: PackedTokens) -> TokenPlan | None:
        if step is None:
            return None
        own = packed.images(images)
        plan = step(len(self._kept) - 1, self._layers, own)
        if plan is not None:
            asked = own.attended.queries if own.attended and step.wants_attention else own.keys
            heads, width = asked.shape[1:]
            for image, kept in zip(range(images.start, images.stop), own.kept, strict=True):
                self._step_flops[image] += step.flops(kept, heads, width)
        return plan

    def _regrouped(
        self, packed: PackedTokens, plans: Sequence[TokenPlan], together: TokenPlan
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and sizes as the runs' plans, joined in `together`, want them."""
        if all(plan.made is None for plan in plans):
            return together.regroup(packed.tokens, packed.sizes, self.plan.lengths)
        parts = []
        for plan, (_, images) in zip(plans, self._runs, strict=True):
            own = packed.images(images)
            parts.append(plan.regroup(own.tokens, own.sizes, self.plan.lengths[images]))
        return torch.cat([tokens for tokens, _ in parts]), torch.cat([sizes for _, sizes in parts])

    def _stay(self, images: slice) -> TokenPlan:
        """Every token of some images in place."""
        kept, known = self.plan.kept[images], self._kept[-1][images]
        group = torch.arange(max(known), device=kept.device).expand(len(known), -1)
        return TokenPlan(torch.where(group < kept[:, None], group, -1), kept, self.plan.prefix, known=known)

    def _lengths(self) -> list[int]:
        return [self.plan.prefix + kept for kept in self._kept[-1]]

    def _context(self, segments: AnySegments, merged: bool) -> AttentionContext:
        if self._sizes is None:
            return AttentionContext(segments)
        asked = self._runs and len(self._kept) < self._layers
        capture = Capture(self._attention) if asked or self._watched else None
        return AttentionContext(segments, self._sizes.log() if merged else None, capture)
