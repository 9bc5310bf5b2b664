"""Which token each patch becomes: the decision of a tokenizer, and how to carry it out and undo it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

# What became of a patch, as `patch_states` tells it.
INTACT, MERGED, DROPPED = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class TokenPlan:
    """For a batch of B images with N patches each: the output token of every patch.

    Attributes:
        group: (B, N) int64, index of the output token a patch goes to, 0..kept-1; -1 where it is dropped.
        kept: (B,) int64, output patch tokens per image.
        prefix: prefix tokens (CLS, registers) per image; they pass untouched.
        uniform: `kept` where it is known without asking the device to be equal for all images, else None.
    """

    group: torch.Tensor
    kept: torch.Tensor
    prefix: int = 1
    uniform: int | None = None
    _on_host: _HostCopy = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_on_host", _HostCopy(self.kept if self.uniform is None else None))

    @classmethod
    def join(cls, plans: Sequence[TokenPlan]) -> TokenPlan:
        """One plan for the images of several, in that order, without waiting for the device.

        Args:
            plans: at least one; all for the same model, so with the same N and prefix.
        """
        first = plans[0]
        if len(plans) == 1:
            return first
        group = torch.cat([plan.group for plan in plans])
        kept = torch.cat([plan.kept for plan in plans])
        alike = all(plan.uniform == first.uniform for plan in plans)
        return cls(group, kept, first.prefix, first.uniform if alike else None)

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
        if self.uniform is not None:
            return [self.uniform] * len(self.group)
        return self._on_host.wait()

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
        # Rows of dropped patches go to one surplus row, cut off again: no boolean indexing, no waiting.
        sums = torch.zeros(total + 1, channels, device=rows.device, dtype=torch.float32)
        sums.index_add_(0, index, rows.to(torch.float32))
        counts = torch.zeros(total + 1, device=rows.device)
        counts.index_add_(0, index, torch.ones(len(index), device=rows.device))
        return (sums[:-1] / counts[:-1, None].clamp_min(1)).to(tokens.dtype)

    def restore(self, packed: torch.Tensor, prefix: int | None = None) -> torch.Tensor:
        """Undoes `apply`: every patch gets its group's token; dropped patches get zeros (see `dropped`).

        Args:
            packed: (sum(prefix+kept), C).
            prefix: as for `apply`.

        Returns:
            (B, prefix+N, C).
        """
        prefix = self.prefix if prefix is None else prefix
        batch, patches = self.group.shape
        if self.keeps_all:
            return packed.reshape(batch, prefix + patches, -1)
        index, _ = self._packed_index(prefix)
        padded = torch.cat([packed, packed.new_zeros(1, packed.shape[-1])])
        return padded[index].reshape(batch, prefix + patches, -1)

    def sizes(self) -> torch.Tensor:
        """(sum(kept),) float32: how many patches each packed patch token stands for."""
        index, total = self._packed_index(prefix=0)
        counts = torch.zeros(total + 1, device=self.group.device)
        return counts.index_add_(0, index, torch.ones(len(index), device=self.group.device))[:-1]

    def representatives(self, columns: int) -> torch.Tensor:
        """The member of each group that lies nearest to the group's mean position (its medoid).

        Args:
            columns: patches per row of the grid.

        Returns:
            (sum(kept),) int64: a patch index 0..N-1 per packed patch token.
        """
        index, total = self._packed_index(prefix=0)
        patches = self.group.shape[1]
        position = torch.arange(patches, device=index.device)
        where = (
            torch.stack([position // columns, position % columns], dim=1).repeat(len(self.group), 1).float()
        )
        sums = torch.zeros(total + 1, 2, device=index.device).index_add_(0, index, where)
        counts = torch.zeros(total + 1, device=index.device)
        counts.index_add_(0, index, torch.ones(len(index), device=index.device))
        away = (where - (sums / counts.clamp_min(1)[:, None])[index]).square().sum(dim=1)
        # One sortable number per patch: distance first, then raster order, so that ties are settled.
        key = (away * 1024).long() * patches + position.repeat(len(self.group))
        nearest = torch.full((total + 1,), torch.iinfo(torch.int64).max, device=index.device)
        return nearest.scatter_reduce_(0, index, key, "amin")[:-1] % patches

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


class _HostCopy:
    """Brings a small device tensor to the host without holding up the work queued behind it."""

    def __init__(self, values: torch.Tensor | None) -> None:
        self._event: torch.cuda.Event | None = None
        self._values = values
        if values is not None and values.is_cuda:
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def wait(self) -> list[int]:
        assert self._values is not None
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
    slot = torch.where(group < 0, group.shape[1], group)
    members = torch.zeros(len(group), group.shape[1] + 1, dtype=torch.int64)
    members.scatter_add_(1, slot, torch.ones_like(slot))
    states = torch.where(members.gather(1, slot) > 1, MERGED, INTACT)
    return torch.where(group < 0, DROPPED, states).to(torch.uint8).numpy()
