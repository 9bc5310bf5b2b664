"""A dense decoder that runs where tokens changed, and remembers the rest.

A transposed convolution of kernel 4, stride 2 and padding 1 reads, where four of its inputs meet, just those
four and makes the four output pixels around the same point of them. So such crossings can be decoded alone,
those of a layer in one matrix product: their inputs are gathered, multiplied and put where they belong. Those
run that a changed token reaches: the four around it, and from a layer to the next, on a grid twice as fine,
the nine at and around each.

Tokens that hardly moved are not decoded again. On two clips that spared .29 and .27 of what else was decoded,
and the error of the saliency map, relative to its variance, went from .2772 to .2784 and from .0284 to .0307.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from vocab.linear import linear_map

# How far a token may be from the one that was decoded, relative to its length. At .2 the clips above spare
# .15, at .4 about .42; the errors are .2775 and .2846, .0289 and .0338.
_MOVED = 0.3
_PAIRS = tuple(product((0, 1), (0, 1)))
# Crossings of the first layer are multiplied by so many at the most, rounded up to a multiple of `_STEP`,
# those of each further layer by twice as many. oneDNN makes code for each shape, .1 to .7 ms each, and is
# told to keep little of it: with all shapes that `rounded` leaves a lone fixed camera took 10 % more time.
_STEP, _MOST = 16, 128
# Rows behind those of a map: zeros, which are read beyond its edge, and what is written there and never read.
_BEYOND = 2


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What is kept of a stream: all that follows from the tokens in it.

    Attributes:
        grid: patches (rows, columns).
        maps: (rows * columns + 2, C) what goes into each layer, see `_BEYOND`; first the tokens.
        last: (rows * columns + 2, 1) float32 what comes out.
        number: of the answer that they are of.
    """

    grid: tuple[int, int]
    maps: Sequence[torch.Tensor]
    last: torch.Tensor
    number: int

    @property
    def logits(self) -> torch.Tensor:
        """(rows, columns) of the output: a view."""
        rows, columns = (side << len(self.maps) for side in self.grid)
        return self.last[:-_BEYOND].view(rows, columns)

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in (*self.maps, self.last))


class Wanted(NamedTuple):
    """Tokens of a stream that are to be decoded.

    Attributes:
        tokens: (N, C) of the patches.
        grid: of them.
        before: what is kept of the same stream, written to; None for a new one.
        rows: patches whose tokens may be others than then; None for all.
        number: of the answer.
    """

    tokens: torch.Tensor
    grid: tuple[int, int]
    before: Decoded | None
    rows: torch.Tensor | None
    number: int


class Redecoder:
    """Runs transposed convolutions with ReLU behind each, and a 1×1 convolution to one channel, by crossings.

    Args:
        layers: of kernel 4, stride 2 and padding 1; their weights are copied.
        last: from their channels to one.
    """

    def __init__(self, layers: Sequence[nn.ConvTranspose2d], last: nn.Conv2d) -> None:
        self._layers = [
            linear_map(_crossing(layer.weight.detach()), _repeated(layer.bias), "relu") for layer in layers
        ]
        self._last = linear_map(last.weight.detach().flatten(1), last.bias)
        self._channels = [layer.in_channels for layer in layers]
        self._outputs = [layer.out_channels for layer in layers]
        # Of an output pixel of each layer; the last convolution is run wherever the last layer is.
        self._costs = [layer.in_channels * layer.out_channels * len(_PAIRS) for layer in layers]
        self._costs[-1] += last.in_channels
        self.dtype = last.weight.dtype

    def decode(self, wanted: Sequence[Wanted]) -> list[tuple[Decoded, float]]:
        """Decodes what changed, of all streams together.

        Args:
            wanted: at most one of each stream.

        Returns:
            What is to be kept of each, and the share of the operations of decoding all of it that this took.
        """
        begun = [self._begin(one) for one in wanted]
        kept, reached = [own for own, _ in begun], [marks for _, marks in begun]
        spent = [0] * len(begun)
        for level, cost in enumerate(self._costs):
            if level:
                reached = [None if marks is None else _finer(marks) for marks in reached]
            made = self._run(level, kept, reached)
            if not any(made):
                break
            spent = [before + cost * own for before, own in zip(spent, made, strict=True)]
        return [
            (replace(own, number=one.number), ran / self._all(one.grid))
            for one, own, ran in zip(wanted, kept, spent, strict=True)
        ]

    def _all(self, grid: tuple[int, int]) -> int:
        """Multiplications of all of a grid."""
        return sum(grid[0] * grid[1] * cost << 2 * (level + 1) for level, cost in enumerate(self._costs))

    def _begin(self, one: Wanted) -> tuple[Decoded, torch.Tensor | None]:
        """Takes over tokens; gives what is to be written to, and crossings to run as `_run` wants them."""
        tokens, grid, before, rows, number = one
        if before is None or before.grid != grid or before.maps[0].dtype != self.dtype:
            before, rows = self._empty(grid, number), None
        decoded = before.maps[0]
        if rows is None:
            decoded[:-_BEYOND] = tokens
            return before, None
        changed = torch.zeros(1, *grid)
        changed.view(-1)[self._moved(tokens, decoded, rows)] = 1
        return before, F.max_pool2d(changed, 2, stride=1, padding=1)

    def _run(self, level: int, kept: Sequence[Decoded], reached: Sequence[torch.Tensor | None]) -> list[int]:
        """A layer.

        Args:
            level: of the layer.
            kept: of each stream.
            reached: (1, rows+1, columns+1) of each stream, crossings to run; None for all.

        Returns:
            Output pixels made of each.
        """
        taps, places = [], []
        for own, marks in zip(kept, reached, strict=True):
            near, onto = _tables(own.grid, level)
            if marks is not None:
                which = marks.view(-1).nonzero()[:, 0]
                near, onto = near.index_select(0, which), onto.index_select(0, which)
            taps.append(near)
            places.append(onto.view(-1))
        counts = [len(near) for near in taps]
        needed = sum(counts)
        if needed == 0:
            return [0] * len(kept)
        # Rows beyond those needed are of none.
        step = _STEP << level
        taken = torch.empty(-(-needed // step) * step, len(_PAIRS) * self._channels[level], dtype=self.dtype)
        taken[needed:].zero_()
        inputs = taken[:needed].view(-1, self._channels[level]).split([len(_PAIRS) * n for n in counts])
        for own, near, into in zip(kept, taps, inputs, strict=True):
            torch.index_select(own.maps[level], 0, near.view(-1), out=into)
        last = level == len(self._layers) - 1
        made = _in_parts(self._layers[level], taken, _MOST << level).view(-1, self._outputs[level])
        if last:
            made = _in_parts(self._last, made, _MOST << level).float()
        outputs = made[: len(_PAIRS) * needed].split([len(_PAIRS) * n for n in counts])
        pixels = []
        for own, onto, out in zip(kept, places, outputs, strict=True):
            written = own.last if last else own.maps[level + 1]
            written.index_copy_(0, onto, out)
            pixels.append(int((onto < len(written) - _BEYOND).sum()))
        return pixels

    def _moved(self, tokens: torch.Tensor, decoded: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Those of the rows that are to be decoded; takes over their tokens."""
        old, new = decoded.index_select(0, rows).float(), tokens.index_select(0, rows).float()
        moved = ((new - old).norm(dim=1) > _MOVED * old.norm(dim=1)).nonzero()[:, 0]
        rows = rows.index_select(0, moved)
        decoded.index_copy_(0, rows, new.index_select(0, moved).to(self.dtype))
        return rows

    def _empty(self, grid: tuple[int, int], number: int) -> Decoded:
        sizes = [(grid[0] * grid[1] << 2 * level) + _BEYOND for level in range(len(self._layers) + 1)]
        maps = [
            torch.zeros(size, channels, dtype=self.dtype)
            for size, channels in zip(sizes, self._channels, strict=False)
        ]
        return Decoded(grid, maps, torch.zeros(sizes[-1], 1), number)


def _in_parts(layer: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, most: int) -> torch.Tensor:
    parts = rows.split(most)
    return layer(rows) if len(parts) == 1 else torch.cat([layer(part) for part in parts])


def _crossing(weight: torch.Tensor) -> torch.Tensor:
    """(in, out, 4, 4) -> (4*out, 4*in), from the inputs around a crossing to the outputs around it."""
    # Behind crossing k lies input k and output 2k. Output 2k-1+s takes input k-1+t with the element s+2-2t.
    return torch.cat(
        [
            torch.cat([weight[:, :, a + 2 - 2 * y, b + 2 - 2 * x].T for y, x in _PAIRS], dim=1)
            for a, b in _PAIRS
        ]
    )


def _repeated(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else bias.detach().repeat(len(_PAIRS))


def _finer(marks: torch.Tensor) -> torch.Tensor:
    """(1, rows+1, columns+1) crossings of a layer -> (1, 2*rows+1, 2*columns+1) of the next: the reached."""
    # What lies halfway between two points is reached by both: where the mean of its neighbours is not 0.
    size = [2 * side - 1 for side in marks.shape[1:]]
    return F.interpolate(marks[None], size=size, mode="bilinear", align_corners=True)[0]


@lru_cache(maxsize=256)
def _tables(grid: tuple[int, int], level: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the crossings of a layer lie in its input and output, see `_BEYOND`.

    Args:
        grid: patches.
        level: the layer; it makes maps of 2^(level+1) pixels a patch.

    Returns:
        (K, 4) rows of the input, and (K, 4) rows of the output, row by row of K = (rows+1) * (columns+1).
    """
    rows, columns = (side << level for side in grid)
    row, column = torch.meshgrid(torch.arange(rows + 1), torch.arange(columns + 1), indexing="ij")

    def around(times: int, beyond: int) -> torch.Tensor:
        height, width, near = times * rows, times * columns, []
        for a, b in _PAIRS:
            y, x = times * row - 1 + a, times * column - 1 + b
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            near.append(torch.where(inside, y * width + x, height * width + beyond).flatten())
        return torch.stack(near, dim=1)

    return around(1, 0), around(2, 1)
