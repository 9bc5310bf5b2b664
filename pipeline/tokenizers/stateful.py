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

Decision = Literal["hold", "recall", "merged", "full", "escalated"]

# A pause of so many seconds is a new beginning.
_GAP_S = 30.0


class BlockMemory:
    """Keys and values of one block for every position of a frame, prefix tokens first; written in place.

    Args:
        dtype: of what is kept.

    Attributes:
        keys, values: (H, prefix+N, D), rotated where the model does so; there from the first `write` on.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self.keys = self.values = torch.empty(0, dtype=dtype)

    def write(self, keys: torch.Tensor, values: torch.Tensor, rows: torch.Tensor | None) -> None:
        """Takes over keys and values (T, H, D) of some positions; of all, in order, where `rows` is None."""
        if rows is None:
            if self.keys.numel() == 0:
                count, heads, width = keys.shape
                self.keys, self.values = torch.empty(
                    2, heads, count, width, dtype=self._dtype, device=keys.device
                )
            self.keys.copy_(keys.transpose(0, 1))
            self.values.copy_(values.transpose(0, 1))
        else:
            self.keys.index_copy_(1, rows, keys.transpose(0, 1).to(self._dtype))
            self.values.index_copy_(1, rows, values.transpose(0, 1).to(self._dtype))


class Memory:
    """What the encoder keeps of a stream's latest frame; the first run must be of all positions.

    Args:
        dtype: of keys and values.

    Attributes:
        tokens: (prefix+N, C) normalised output tokens; empty before the first run.
        answer: what was made of the newest tokens, for whoever wants to give it again.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._blocks: list[BlockMemory] = []
        self.tokens = torch.empty(0)
        self.answer: Any = None

    def block(self, layer: int) -> BlockMemory:
        """Of one block, counted from 0; blocks come in order."""
        if layer == len(self._blocks):
            self._blocks.append(BlockMemory(self._dtype))
        return self._blocks[layer]

    @property
    def bytes(self) -> int:
        """What it takes."""
        kept = [self.tokens, *(part for block in self._blocks for part in (block.keys, block.values))]
        return sum(part.numel() * part.element_size() for part in kept)


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
        error: what an audit found: 1 - cosine to the answer of a run of all positions; None without one.
    """

    decision: Decision
    memory: Memory
    states: torch.Tensor
    kept: int
    flops: int
    held_ms: float | None = None
    error: float | None = None


class StatefulTokenizer(ABC):
    """A tokenizer of one stream, with all that it keeps of it."""

    name: str
    vocab_version: int | None = None

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
