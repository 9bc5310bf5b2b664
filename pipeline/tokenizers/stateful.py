"""The second kind of tokenizer: one that keeps what its stream has paid for, and looks at what came out.

A stateless tokenizer plans a batch before it runs. A stateful one is asked frame by frame, in the order of
its stream, and talks with the encoder while a frame is answered: it wishes for positions to be computed, sees
what that changed, and wishes for more or is content.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch

from pipeline.frame import Frame
from pipeline.tokenizers.steps import BlockStep

if TYPE_CHECKING:
    from pipeline.models.positions import Place

# Types that keys and values are kept in, by the name of the option.
CACHES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
Decision = Literal["hold", "recall", "merged", "full", "escalated"]

# A pause of so many seconds is a new beginning.
_GAP_S = 30.0


class _Kept:
    """(2, H, T, D) keys and values in a floating-point type, written in place."""

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> None:
        self._numbers = torch.empty(shape, dtype=dtype, device=device).unbind(0)

    def write(self, which: int, fresh: torch.Tensor, rows: torch.Tensor | None) -> None:
        """Takes over keys (0) or values (1), (H, n, D), of these tokens; of all, in order, where `rows` is
        None."""
        _put(self._numbers[which], fresh, rows)

    def read(self, which: int) -> torch.Tensor:
        """(H, T, D) keys (0) or values (1): a view."""
        return self._numbers[which]

    @property
    def bytes(self) -> int:
        """What they take."""
        return sum(_bytes(part) for part in self._numbers)


class _KeptInt8(_Kept):
    """The same in whole numbers from -127 to 127, with a scale for every head and token.

    Args:
        read_in: type to read them in.
    """

    def __init__(self, shape: tuple[int, ...], read_in: torch.dtype, device: torch.device) -> None:
        super().__init__(shape, torch.int8, device)
        self._scales = torch.empty(*shape[:-1], 1, device=device)
        self._read_in = read_in

    def write(self, which: int, fresh: torch.Tensor, rows: torch.Tensor | None) -> None:
        """See `_Kept.write`."""
        fresh = fresh.float()
        # A token of zeros stays one.
        scales = fresh.abs().amax(dim=2, keepdim=True).div_(127).clamp_min_(1e-12)
        super().write(which, (fresh / scales).round_(), rows)
        _put(self._scales[which], scales, rows)

    def read(self, which: int) -> torch.Tensor:
        """See `_Kept.read`; no view, but that of one block at a time."""
        # By way of float32: on the CPU .6 of the time of scaling in bfloat16.
        return self._numbers[which].float().mul_(self._scales[which]).to(self._read_in)

    @property
    def bytes(self) -> int:
        """See `_Kept.bytes`."""
        return super().bytes + _bytes(self._scales)


class BlockMemory:
    """Keys and values of one block for every position of a frame, prefix tokens first; written in place.

    Args:
        dtype: of what is kept; int8 with a scale for every head and token.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._kept: _Kept | None = None

    @property
    def keys(self) -> torch.Tensor:
        """(H, prefix+N, D), rotated where the model does so; not to be written to."""
        return self._there.read(0)

    @property
    def values(self) -> torch.Tensor:
        """(H, prefix+N, D); not to be written to."""
        return self._there.read(1)

    @property
    def bytes(self) -> int:
        """What they take."""
        return 0 if self._kept is None else self._kept.bytes

    def write(self, keys: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None) -> None:
        """Takes over keys and values (H, n, D) of some positions; of all, in order, where `rows` is None."""
        if self._kept is None and rows is None:
            shape = (2, *keys.shape)
            if self._dtype == torch.int8:
                self._kept = _KeptInt8(shape, keys.dtype, keys.device)
            else:
                self._kept = _Kept(shape, self._dtype, keys.device)
        kept = self._there
        kept.write(0, keys, rows)
        kept.write(1, values, rows)

    @property
    def _there(self) -> _Kept:
        if self._kept is None:
            raise IndexError("there is nothing to recall yet")
        return self._kept


class Memory:
    """What the encoder keeps of a stream's latest frame; the first run must be of all positions.

    Args:
        dtype: of keys and values, see `BlockMemory`.

    Attributes:
        tokens: (prefix+N, C) normalised output tokens; empty before the first run.
        answer: what was made of the newest tokens, for whoever wants to give it again.
        answers: how many frames got fresh ones.
        decoded: what a dense head keeps, with its `bytes`; None without such a head.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._blocks: list[BlockMemory] = []
        self.tokens = torch.empty(0)
        self.answer: Any = None
        self.answers = 0
        self.decoded: Any = None

    def block(self, layer: int) -> BlockMemory:
        """Of one block, counted from 0; blocks come in order."""
        if layer == len(self._blocks):
            self._blocks.append(BlockMemory(self._dtype))
        return self._blocks[layer]

    @property
    def bytes(self) -> int:
        """What it takes."""
        decoded = 0 if self.decoded is None else int(self.decoded.bytes)
        return _bytes(self.tokens) + sum(block.bytes for block in self._blocks) + decoded


def _put(kept: torch.Tensor, fresh: torch.Tensor, rows: torch.Tensor | None) -> None:
    """Copies (H, n, D) to these tokens; to all of them, in order, where `rows` is None."""
    if rows is None:
        kept.copy_(fresh)
    else:
        kept.index_copy_(1, rows, fresh.to(kept.dtype))


def _bytes(kept: torch.Tensor) -> int:
    return kept.numel() * kept.element_size()


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A wish: compute positions of the frame anew. Prefix tokens always run as well.

    Attributes:
        memory: of the stream; the others are recalled from it, those computed are written to it.
        rows: (n,) int64 patches in ascending order; None for all.
        step: what goes on between the blocks, for a run of all; every patch must end in a token.
    """

    memory: Memory
    rows: torch.Tensor | None = None
    step: BlockStep | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Ran:
    """What became of a `Run`.

    Attributes:
        change: (n,) float32, how far the output of each position moved, relative to its length before; zeros
            in the first run of a memory.
        attention: (N,) float32 that the class token pays to each patch in the last block, mean over heads;
            equal shares for a model without one.
        summary: (C,) float32 pooled features of the whole frame, recalled positions included.
        kept: patch tokens that ran through each block.
        keys: patches that they attended to; None for each other.
        step_flops: operations of the step.
        group: (N,) int64, token that each patch went to; None where each had its own.
    """

    change: torch.Tensor
    attention: torch.Tensor
    summary: torch.Tensor
    kept: Sequence[int]
    keys: int | None = None
    step_flops: int = 0
    group: torch.Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """How a frame was answered: with the tokens that are now in the memory.

    Attributes:
        decision: which way. "hold" means that nothing ran: the answer is the one before.
        memory: of the stream.
        states: (N,) uint8 as `plan.patch_states` has them.
        kept: patches that were computed.
        flops: operations of deciding.
        held_ms: age of a held answer; None for a fresh one.
    """

    decision: Decision
    memory: Memory
    states: torch.Tensor
    kept: int
    flops: int
    held_ms: float | None = None


class StatefulTokenizer(ABC):
    """A tokenizer of one stream, with all that it keeps of it.

    Attributes:
        everywhere: whether somebody looks at all positions, not at the answer alone.
    """

    name: str
    vocab_version: int | None = None
    everywhere: bool = False

    @abstractmethod
    def answer(self, frame: Frame, place: Place, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:
        """Answers the next frame of the stream.

        Args:
            frame: as it came.
            place: of its patches.
            patches: (N, 3*P*P) its normalised pixels.

        Yields:
            Runs, one after the other; each is answered by what became of it.
        """

    @property
    @abstractmethod
    def bytes(self) -> int:
        """What it keeps."""

    @abstractmethod
    def checked(self, patches: torch.Tensor, ran: Ran) -> None:
        """Takes in that all of the last frame was computed, too, once it had been answered.

        Args:
            patches: (N, 3*P*P) of that frame.
            ran: what became of them.
        """

    def take_over(self, other: StatefulTokenizer) -> None:  # noqa: B027
        """Goes on with what another one keeps, of the same class with other options; else begins anew."""

    @abstractmethod
    def forget(self) -> None:
        """Lets go of everything, at any time and from any thread: the next frame runs in full."""


def after_s(earlier: Frame, later: Frame) -> float:
    """Seconds from one frame to another: of presentation, or as they came where they have no times."""
    if earlier.times.pts_s is not None and later.times.pts_s is not None:
        return later.times.pts_s - earlier.times.pts_s
    return later.ready_at - earlier.ready_at


def goes_on(newest: Frame, place: Place, frame: Frame, its_place: Place) -> bool:
    """Whether a frame follows the newest one of its stream: of the same place, soon after it."""
    return place == its_place and 0 <= after_s(newest, frame) <= _GAP_S
