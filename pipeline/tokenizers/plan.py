"""Which token each patch becomes: the decision of a tokenizer, and how to carry it out and undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from pipeline.sending import sent
from pipeline.tokenizers.states import DROPPED, INTACT, MERGED

if TYPE_CHECKING:
    from pipeline.tokenizers.steps import BlockStep


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlan:
    """For a batch of B images with N patches each: the output token of every patch.

    Attributes:
        group: (B, N) int64, index of the output token a patch goes to, 0..kept-1; -1 where it is dropped.
        kept: (B,) int64, output patch tokens per image.
        prefix: prefix tokens (CLS, registers) per image; they pass untouched.
        uniform: `kept` where it is known without asking the device to be equal for all images, else None.
        known: `kept` on the host where it is known without asking the device but not equal, else None.
        mix: (B, N, largest `kept`) float32, where `restore` is to give a patch more than the token of its
            group: the share of each token of its image; None for the group's.
        made: what the tokens become where a step makes them otherwise than as means of groups: (T, C) packed
            as `regroup` packs them, and their (T,) sizes. Only `regroup` heeds it; plans joined have it where
            all of them do.
        steps: one per image, what goes on between the blocks (see `BlockStep`); None for images whose tokens
            pass as they are, and () where all do.
        proportional: one per image, whether attention counts a token as often as it has patches; () where it
            never does. Images with a step are counted so in any case.
    """

    group: torch.Tensor
    kept: torch.Tensor
    prefix: int = 1
    uniform: int | None = None
    known: Sequence[int] | None = None
    steps: tuple[BlockStep | None, ...] = ()
    proportional: tuple[bool, ...] = ()
    mix: torch.Tensor | None = None
    made: tuple[torch.Tensor, torch.Tensor] | None = None
    _fetched: list[_HostCopy] = field(default_factory=list, init=False, repr=False)

    @classmethod
    def join(cls, plans: Sequence[TokenPlan]) -> TokenPlan:
        """One plan for the images of several, in that order, without waiting for the device.

        Args:
            plans: at least one; all for the same model, so with the same prefix. Where N differs, as it does
                for frames of different grids and between blocks, the entries that are missing count as
                dropped.
        """
        first = plans[0]
        if len(plans) == 1:
            return first
        patches = max(plan.group.shape[1] for plan in plans)
        group = torch.cat([pad(plan.group, (0, patches - plan.group.shape[1]), value=-1) for plan in plans])
        kept = torch.cat([plan.kept for plan in plans])
        alike = all(plan.uniform == first.uniform for plan in plans)
        counts = [plan._known() for plan in plans]
        known = None if alike or None in counts else [n for some in counts for n in some or ()]
        steps: tuple[BlockStep | None, ...] = ()
        if any(plan.steps for plan in plans):
            steps = tuple(step for plan in plans for step in plan.steps or [None] * len(plan.group))
        proportional: tuple[bool, ...] = ()
        if any(plan.proportional for plan in plans):
            proportional = tuple(
                one for plan in plans for one in plan.proportional or [False] * len(plan.group)
            )
        mix = None
        if any(plan.mix is not None for plan in plans):
            mixes = [plan._mixed() for plan in plans]
            columns = max(some.shape[2] for some in mixes)
            grown = [(0, columns - some.shape[2], 0, patches - some.shape[1]) for some in mixes]
            mix = torch.cat([pad(some, by) for some, by in zip(mixes, grown, strict=True)])
        parts = [plan.made for plan in plans if plan.made is not None]
        made = None
        if len(parts) == len(plans):
            made = torch.cat([tokens for tokens, _ in parts]), torch.cat([sizes for _, sizes in parts])
        uniform = first.uniform if alike else None
        return cls(group, kept, first.prefix, uniform, known, steps, proportional, mix, made)

    def in_order(self, images: Sequence[int]) -> TokenPlan:
        """The plan of the same images in another order, without waiting for the device.

        Args:
            images: which of them comes first, and so on; all of them. Their tokens must not be made already.
        """
        assert self.made is None, "tokens that are made already stay where they are"
        if list(images) == list(range(len(images))):
            return self
        rows = sent(images, self.group.device)
        return replace(
            self,
            group=self.group.index_select(0, rows),
            kept=self.kept.index_select(0, rows),
            known=None if self.known is None else [self.known[image] for image in images],
            steps=tuple(self.steps[image] for image in images) if self.steps else (),
            proportional=tuple(self.proportional[image] for image in images) if self.proportional else (),
            mix=None if self.mix is None else self.mix.index_select(0, rows),
        )

    def fetch(self) -> None:
        """Begins to bring `kept` to the host, behind what the current stream was told before.

        Else `kept_list` does, which by then may be behind the work of others.
        """
        if self._known() is None and not self._fetched:
            self._fetched.append(_HostCopy(self.kept))

    @property
    def lengths(self) -> torch.Tensor:
        """(B,) int64: tokens per image after `apply`, prefix included."""
        return self.kept + self.prefix

    @property
    def dropped(self) -> torch.Tensor:
        """(B, N) bool: patches that no token stands for."""
        return self.group < 0

    @property
    def keeps_all(self) -> bool:
        """Whether every patch is known to stay a token of its own, in place."""
        return self.uniform == self.group.shape[1]

    def kept_list(self) -> list[int]:
        """`kept` on the host. Waits for the device at most once, and only until the plan is made."""
        known = self._known()
        if known is not None:
            return known
        self.fetch()
        return self._fetched[0].wait()

    def _known(self) -> list[int] | None:
        if self.uniform is not None:
            return [self.uniform] * len(self.group)
        return None if self.known is None else list(self.known)

    def apply(self, tokens: torch.Tensor, prefix: int | None = None) -> torch.Tensor:
        """Packs the tokens the encoder will see: per image its prefix, then the mean of every group.

        Args:
            tokens: (B, prefix+N, C), positions already added.
            prefix: prefix tokens of `tokens`; the plan's own when None.

        Returns:
            (sum(prefix+kept), C), image after image, of the type of `tokens`.
        """
        prefix = self.prefix if prefix is None else prefix
        channels = tokens.shape[-1]
        if self.keeps_all:
            return tokens.reshape(-1, channels)
        index, total = self._packed_index(prefix)
        rows = tokens.reshape(-1, channels)
        return _mean(rows, torch.ones(len(rows), device=rows.device), index, total)[0]

    def then(self, later: TokenPlan) -> TokenPlan:
        """This plan, and then `later` on the tokens it made: one plan for the patches, with this one's steps.

        Args:
            later: its "patches" are the patch tokens of this plan; see `regroup`.
        """
        # A token more, which goes nowhere: that of patches dropped here, be there no other.
        tokens = later.group.shape[1]
        went = pad(later.group, (0, 1), value=-1)
        group = went.gather(1, torch.where(self.group < 0, tokens, self.group))
        plain = self.mix is None and later.mix is None
        mix = None if plain else self._mixed() @ later._mixed()
        return replace(
            later,
            group=group,
            prefix=self.prefix,
            steps=self.steps,
            proportional=self.proportional,
            mix=mix,
            made=None,
        )

    def regroup(
        self, packed: torch.Tensor, sizes: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Does what `apply` does to tokens that are packed already, weighted by their sizes; or gives `made`.

        Args:
            packed: (T, C), image after image its prefix and then at most N patch tokens; `group` is -1 beyond
                an image's last one.
            sizes: (T,) float32, what each token weighs: the patches it stands for.
            lengths: (B,) int64, tokens per image, prefix included.

        Returns:
            (sum(prefix+kept), C) tokens of the type of `packed`, and (sum(prefix+kept),) their sizes.
        """
        if self.made is not None:
            return self.made
        index, total = self._packed_index(self.prefix)
        if len(index) != len(packed):
            image = torch.arange(len(lengths), device=packed.device)
            image = image.repeat_interleave(lengths, output_size=len(packed))
            start = (lengths.cumsum(0) - lengths)[image]
            index = index.view(len(lengths), -1)[
                image, torch.arange(len(packed), device=packed.device) - start
            ]
        return _mean(packed, sizes, index, total)

    def restore(self, packed: torch.Tensor, prefix: int | None = None) -> torch.Tensor:
        """Undoes `apply`: every patch gets its group's token, or its mix of tokens; dropped ones get zeros.

        Args:
            packed: (sum(prefix+kept), C).
            prefix: as for `apply`.

        Returns:
            (B, prefix+N, C).
        """
        prefix = self.prefix if prefix is None else prefix
        batch, patches = self.group.shape
        if self.keeps_all:
            return packed.reshape(batch, prefix + patches, packed.shape[-1])
        index, _ = self._packed_index(prefix)
        padded = torch.cat([packed, packed.new_zeros(1, packed.shape[-1])])
        restored = padded[index].reshape(batch, prefix + patches, packed.shape[-1])
        if self.mix is not None:
            token = torch.arange(self.mix.shape[2], device=packed.device)
            start = (self.kept + prefix).cumsum(0) - self.kept
            rows = torch.where(token < self.kept[:, None], start[:, None] + token, len(packed))
            restored[:, prefix:] = self.mix.to(packed.dtype) @ padded[rows]
        return restored

    def sizes(self, prefix: int = 0) -> torch.Tensor:
        """(sum(prefix+kept),) float32: how many patches each packed token stands for; 1 for prefix tokens."""
        index, total = self._packed_index(prefix)
        counts = torch.zeros(total + 1, device=self.group.device)
        return counts.index_add_(0, index, torch.ones(len(index), device=self.group.device))[:-1]

    def representatives(self, columns: int | torch.Tensor) -> torch.Tensor:
        """The member of each group that lies nearest to the group's mean position (its medoid).

        Args:
            columns: patches per row of the grid, of all images or (B,) of each.

        Returns:
            (sum(kept),) int64: a patch index 0..N-1 per packed patch token.
        """
        index, total = self._packed_index(prefix=0)
        patches = self.group.shape[1]
        position = torch.arange(patches, device=index.device)
        wide = columns[:, None] if isinstance(columns, torch.Tensor) else columns
        places = torch.stack([position // wide, position % wide], dim=-1)
        where = places.expand(len(self.group), -1, -1).flatten(0, 1).float()
        sums = torch.zeros(total + 1, 2, device=index.device).index_add_(0, index, where)
        counts = torch.zeros(total + 1, device=index.device)
        counts.index_add_(0, index, torch.ones(len(index), device=index.device))
        away = (where - (sums / counts.clamp_min(1)[:, None])[index]).square().sum(dim=1)
        # One sortable number per patch: distance first, then raster order, so that ties are settled.
        key = (away * 1024).long() * patches + position.repeat(len(self.group))
        nearest = torch.full((total + 1,), torch.iinfo(torch.int64).max, device=index.device)
        return nearest.scatter_reduce_(0, index, key, "amin")[:-1] % patches

    def _mixed(self) -> torch.Tensor:
        """`mix`, or what says the same of groups."""
        if self.mix is not None:
            return self.mix
        dropped = max(self.kept_list())
        token = torch.where(self.group < 0, dropped, self.group)[..., None]
        mix = torch.zeros(*self.group.shape, dropped + 1, device=token.device)
        return mix.scatter_(2, token, 1)[..., :-1]

    def _packed_index(self, prefix: int) -> tuple[torch.Tensor, int]:
        """Packed row of every (image, token), flattened; dropped ones point one past the end."""
        total = sum(self.kept_list()) + prefix * len(self.group)
        lengths = self.kept + prefix
        start = (lengths.cumsum(0) - lengths)[:, None]
        patch_rows = torch.where(self.group < 0, total, start + prefix + self.group)
        if prefix == 0:
            return patch_rows.flatten(), total
        prefix_rows = start + torch.arange(prefix, device=self.group.device)
        return torch.cat([prefix_rows, patch_rows], dim=1).flatten(), total


def _mean(
    rows: torch.Tensor, weights: torch.Tensor, index: torch.Tensor, total: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted means (total, C) of the rows (T, C) with the same index, and the sums (total,) of weights.

    Rows whose index is `total` are dropped: they go to a surplus row that is cut off again, since picking
    rows by a mask would wait for the device.
    """
    sums = torch.zeros(total + 1, rows.shape[1], device=rows.device, dtype=torch.float32)
    sums.index_add_(0, index, rows.to(torch.float32) * weights[:, None])
    whole = torch.zeros(total + 1, device=rows.device).index_add_(0, index, weights)[:-1]
    return (sums[:-1] / whole[:, None].clamp_min(torch.finfo(torch.float32).tiny)).to(rows.dtype), whole


class _HostCopy:
    """Brings a small device tensor to the host without holding up the work queued behind it."""

    def __init__(self, values: torch.Tensor) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values
        if values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def wait(self) -> list[int]:
        if self._event is not None:
            self._event.synchronize()
        return [int(value) for value in self._values.tolist()]


def patch_states(group: torch.Tensor) -> npt.NDArray[np.uint8]:
    """What became of every patch.

    Args:
        group: (B, N) int64 of a plan, on the host.

    Returns:
        (B, N) uint8: INTACT, MERGED or DROPPED.
    """
    slots = group.numpy()
    dropped = slots < 0
    # Each image has its own numbers, the last of them for what was dropped.
    width = slots.shape[1] + 1
    own = np.where(dropped, width - 1, slots) + width * np.arange(len(slots))[:, None]
    states = np.where(np.bincount(own.ravel())[own] > 1, np.uint8(MERGED), np.uint8(INTACT))
    states[dropped] = DROPPED
    return states
