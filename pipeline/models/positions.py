"""Positions of patches on any grid: what a model learned for its own grid, brought to the grid of a frame."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import nn

from pipeline.frame import Frame
from pipeline.sending import sent
from pipeline.tokenizers.plan import TokenPlan

if TYPE_CHECKING:
    from pipeline.models.between import Between

# Grids whose positions are kept; a camera has one.
_KEPT_GRIDS = 32

P = ParamSpec("P")
T = TypeVar("T")


class Place(NamedTuple):
    """Where the patches of an input lie.

    Attributes:
        grid: patches of the input (rows, columns).
        whole: of the grid that the model's positions are stretched over; larger where padding was left out.
        first: row and column of the input's first patch in it.
    """

    grid: tuple[int, int]
    whole: tuple[int, int]
    first: tuple[int, int] = (0, 0)

    @classmethod
    def filling(cls, height: int, width: int, patch_size: int) -> Place:
        """Of an input that is all there is."""
        grid = (height // patch_size, width // patch_size)
        return cls(grid, grid)

    @classmethod
    def of(cls, frame: Frame, patch_size: int) -> Place:
        """Of a frame."""
        height, width, _ = frame.image.shape
        place, canvas = cls.filling(height, width, patch_size), frame.geometry.canvas
        if canvas is None:
            return place
        whole = (canvas.height // patch_size, canvas.width // patch_size)
        return cls(place.grid, whole, (canvas.top // patch_size, canvas.left // patch_size))

    @property
    def patches(self) -> int:
        return self.grid[0] * self.grid[1]

    def part(self, values: torch.Tensor) -> torch.Tensor:
        """The rows of the input's patches, of (whole patches, D) in raster order: (patches, D)."""
        rows, columns = (
            slice(start, start + count) for start, count in zip(self.first, self.grid, strict=True)
        )
        return values.unflatten(0, self.whole)[rows, columns].flatten(0, 1)


class Placed(NamedTuple):
    """Images of one size (B, 3, H, W), and where their patches lie; None for models without patches."""

    images: torch.Tensor
    place: Place | None

    @classmethod
    def filling(cls, images: torch.Tensor, patch_size: int | None) -> Placed:
        """Images that are all there is."""
        height, width = images.shape[2:]
        return cls(images, None if patch_size is None else Place.filling(height, width, patch_size))


class Positions:
    """Reads what a timm Vision Transformer adds to its patches, and how it rotates them.

    Args:
        model: the Vision Transformer.
        learned: (rows, columns, C) that are resized; None for those that the model has.
        antialias: of the bicubic resizing; timm's models are resized with it.
        between: what is added between its blocks; None for nothing, as in timm's models.
    """

    def __init__(
        self,
        model: nn.Module,
        learned: torch.Tensor | None = None,
        antialias: bool = True,
        between: Between | None = None,
    ) -> None:
        self._model = cast(Any, model)
        self._learned = learned
        self._antialias = antialias
        self.between = between
        self._prefix = kept(self._read_prefix)
        self._added = kept(self._add)
        self._rotation = kept(self._rotate)

    def prefix(self) -> torch.Tensor:
        """(prefix, C): the prefix tokens with their positions."""
        return self._prefix()

    def added(self, place: Place) -> torch.Tensor:
        """(patches, C): what is added to the patches of an input."""
        return self._added(place)

    def rotation(self, place: Place) -> torch.Tensor | None:
        """(patches, 2*D) sines and cosines; None for a model that does not rotate."""
        return self._rotation(place)

    def _read(self) -> torch.Tensor:
        """(prefix+N, C) of the model's own grid: an embedding of nothing leaves the positions alone."""
        model = self._model
        embed = model.patch_embed
        # Models made for changing sizes take their patches as a grid.
        shape = embed.grid_size if model.dynamic_img_size else (embed.num_patches,)
        nothing = embed.proj.weight.new_zeros(1, *shape, model.embed_dim)
        embedded = model._pos_embed(nothing)
        tokens = embedded[0] if isinstance(embedded, tuple) else embedded
        return cast(torch.Tensor, tokens[0])

    def _read_prefix(self) -> torch.Tensor:
        return self._read()[: self._model.num_prefix_tokens]

    def _add(self, place: Place) -> torch.Tensor:
        own = self._read()[self._model.num_prefix_tokens :]
        grid = tuple(self._model.patch_embed.grid_size)
        if place.whole == grid:
            return place.part(own)
        square = own.unflatten(0, grid) if self._learned is None else self._learned
        return place.part(resized(square, place.whole, self._antialias).to(own))

    def _rotate(self, place: Place) -> torch.Tensor | None:
        rope = getattr(self._model, "rope", None)
        if rope is None:
            return None
        bound = getattr(rope, "feat_shape", None)
        if bound is None:
            return place.part(rope.get_embed(shape=place.whole))
        if tuple(bound) != place.whole:
            # A copy, since the model still runs unpacked on its own grid.
            rope = copy.deepcopy(rope)
            rope.update_feat_shape(place.whole)
        return place.part(rope.get_embed())


class Rotation:
    """Rotary embedding of a batch: which rows of it the packed tokens turn by.

    Args:
        tables: (patches, 2*D) by place.
        places: one per image.
    """

    def __init__(self, tables: dict[Place, torch.Tensor], places: Sequence[Place]) -> None:
        self._table = torch.cat(list(tables.values()))
        starts, end = {}, 0
        for place, rows in tables.items():
            starts[place], end = end, end + len(rows)
        device = self._table.device
        self._start = sent([starts[place] for place in places], device)
        self._columns = sent([place.grid[1] for place in places], device)

    def of(self, plan: TokenPlan) -> torch.Tensor:
        """(sum(prefix+kept), 2*D) per packed token.

        A merged group turns like its medoid; prefix tokens do not turn.
        """
        table = self._table
        patches = plan.representatives(self._columns)
        ends = plan.kept.cumsum(0)
        within = torch.arange(len(patches), device=table.device)
        image = torch.searchsorted(ends, within, right=True)
        packed = still(table, len(patches) + plan.prefix * len(plan.kept))
        return packed.index_copy_(0, within + (image + 1) * plan.prefix, table[self._start[image] + patches])


def still(table: torch.Tensor, count: int) -> torch.Tensor:
    """(count, 2*D): what tokens turn by that do not turn, as prefix tokens; of the type of `table`."""
    half = table.shape[1] // 2
    return torch.cat([table.new_zeros(count, half), table.new_ones(count, half)], dim=1)


def resized(learned: torch.Tensor, grid: tuple[int, int], antialias: bool) -> torch.Tensor:
    """(rows, columns, C) by bicubic -> (patches, C) of a grid, of the same type; computed in float32."""
    channels_first = learned.to(torch.float32).permute(2, 0, 1)[None]
    found = F.interpolate(channels_first, size=grid, mode="bicubic", antialias=antialias)
    return found[0].permute(1, 2, 0).flatten(0, 1).to(learned)


def kept(make: Callable[P, T], grids: int = _KEPT_GRIDS) -> Callable[P, T]:
    """Remembers what was made for the latest grids, as ordinary tensors whoever asks."""

    @lru_cache(grids)
    @torch.inference_mode(False)
    @torch.no_grad()
    def remembered(*args: P.args, **kwargs: P.kwargs) -> T:
        return make(*args, **kwargs)

    return cast(Callable[P, T], remembered)
