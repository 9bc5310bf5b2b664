"""Passes of few sizes over all blocks: on a GPU each is captured once, as a CUDA graph, and then replayed.

Launching the kernels of a few tokens takes the host longer than they run. A graph is one launch, and wants
everything to stay where it is and as large as it is: so tokens are copied into buffers, and those that fill
up a size are one more sequence, which nobody else attends to. On the CPU, where nothing is captured, the
same passes just run: to see that they are right, for `torch` is faster there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from pipeline.models.attention import Segments, StaticSegments
from pipeline.models.context import AttentionContext
from pipeline.models.runtimes.base import Blocks, Dense
from pipeline.models.runtimes.torch_runtime import TorchRuntime, open_torch
from pipeline.runtimes import BF16, Computed, UnavailableError

# Kernels are chosen and loaded in the first; the second is as fast as those to come.
_PASSES_BEFORE_CAPTURE = 2
# Of the first GPUs whose attention takes packed sequences.
_AMPERE = (8, 0)


class _Tier(NamedTuple):
    sequences: int
    step: int


# The more tokens, the less those that fill up a size weigh, and the more sizes there would be.
_TIERS = (_Tier(1, 16), _Tier(8, 64), _Tier(128, 256))
_MOST_SEQUENCES = _TIERS[-1].sequences


class Size(NamedTuple):
    """What a pass has room for.

    Attributes:
        sequences: beside the one that fills it up.
        tokens: of all sequences, that one included.
    """

    sequences: int
    tokens: int

    @classmethod
    def of(cls, sequences: int, tokens: int) -> Size:
        """The smallest that holds so many: at most 128 sequences."""
        tier = next(tier for tier in _TIERS if sequences <= tier.sequences)
        return cls(tier.sequences, -(-tokens // tier.step) * tier.step)

    def longest(self, known: int | None) -> int:
        """What a kernel is launched for, and must not be less than: tokens of any sequence in it.

        Args:
            known: tokens of one at most; None where that is not known.
        """
        # What fills it up is a sequence as well.
        return self.tokens if known is None else min(self.tokens, max(known, _TIERS[-1].step))

    @classmethod
    def up_to(cls, sequences: int, longest: int) -> list[tuple[Size, int]]:
        """All that come up, the largest first, each with the most sequences that come up in it.

        Args:
            sequences: that there are at most.
            longest: tokens of one at most.
        """
        sizes, fewer = [], 0
        for tier in _TIERS:
            most = min(tier.sequences, sequences)
            if fewer < most:
                ends = range(tier.step, most * longest + tier.step, tier.step)
                sizes += [(cls(tier.sequences, tokens), most) for tokens in ends]
            fewer = tier.sequences
        return sorted(sizes, key=lambda one: one[0].tokens, reverse=True)


class GraphsRuntime:
    """Runs all blocks in passes of few sizes.

    Args:
        blocks: what is computed.
        stepwise: computes it, and what passes do not take.
        device: theirs.
    """

    def __init__(self, blocks: Blocks, stepwise: TorchRuntime, device: torch.device) -> None:
        self.stepwise = stepwise
        self.dtype = stepwise.dtype
        self.computed = Computed("graphs", stepwise.computed.precision)
        self._width, self._outside, self._device = blocks.width, blocks.dtype, device
        self._longest: int | None = None
        self._capture = _Capture(device) if device.type == "cuda" else None
        self._passes: dict[Size, _Pass] = {}
        self._buffers: dict[int, _Buffers] = {}
        # Who comes next would write into what is still read.
        self._one_at_a_time = threading.Lock()

    @property
    def sizes(self) -> Sequence[Size]:
        """Those that passes were made for."""
        return list(self._passes)

    def dense(self, layers: nn.Sequential) -> Dense:
        """See `Runtime.dense`."""
        return self.stepwise.dense(layers)

    def prepare(self, sequences: int, longest: int, rope: torch.Tensor | None) -> None:
        """See `Preparing.prepare`. The largest pass comes first: then the others find room in its memory."""
        self._longest = longest
        for size, most in Size.up_to(sequences, longest):
            tokens = min(size.tokens, most * longest)
            lengths = [tokens // most + (number < tokens % most) for number in range(most)]
            context = AttentionContext(Segments.of(lengths, self._device))
            nothing = torch.zeros(tokens, self._width, dtype=self._outside, device=self._device)
            self.forward(nothing, context, None if rope is None else rope[:1].expand(tokens, -1))

    def takes(self, context: AttentionContext) -> bool:
        """See `Runtime.takes`: no weighed keys, nor more or longer sequences than there are sizes for."""
        segments = context.segments
        fits = self._longest is None or segments.longest <= self._longest
        plain = context.key_bias is None and context.capture is None and context.recalled is None
        return plain and fits and len(segments.lengths) <= _MOST_SEQUENCES

    @torch.inference_mode()
    def forward(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """See `Runtime.forward`; waits for the device only where a pass is captured."""
        if not self.takes(context):
            return self.stepwise.forward(tokens, context, rope)
        segments = context.segments
        size = Size.of(len(segments.lengths), len(tokens))
        with self._one_at_a_time:
            if size not in self._passes:
                self._passes[size] = self._pass(size, tokens, rope)
            return self._passes[size](tokens, segments.offsets, rope)

    def _pass(self, size: Size, tokens: torch.Tensor, rope: torch.Tensor | None) -> _Pass:
        rows = 1 << (size.tokens - 1).bit_length()
        if rows not in self._buffers:
            self._buffers[rows] = _Buffers(rows, tokens, rope)
        return _Pass(size, self._longest, self._buffers[rows], self.stepwise, self._capture)


class _Buffers:
    """What passes read and write, which stays where it is; of all sizes between two powers of two.

    Args:
        rows: of tokens.
        tokens: (T, C) like those to come.
        rope: (T, 2*D) likewise, or None.
    """

    def __init__(self, rows: int, tokens: torch.Tensor, rope: torch.Tensor | None) -> None:
        self.tokens = tokens.new_zeros(rows, tokens.shape[1])
        self.rope = None if rope is None else rope.new_zeros(rows, rope.shape[1])
        self.offsets = torch.zeros(_MOST_SEQUENCES + 2, dtype=torch.int32, device=tokens.device)
        self.normed = torch.zeros_like(self.tokens)


class _Pass:
    """All blocks and the norm on tokens of one size.

    Args:
        size: of it.
        longest: tokens of a sequence at most; None where that is not known.
        buffers: at least as large.
        blocks: what runs.
        capture: makes a graph of what runs; None to just run it.
    """

    def __init__(
        self,
        size: Size,
        longest: int | None,
        buffers: _Buffers,
        blocks: TorchRuntime,
        capture: _Capture | None,
    ) -> None:
        self._size = size
        self._tokens, self._normed = buffers.tokens[: size.tokens], buffers.normed[: size.tokens]
        self._rope = None if buffers.rope is None else buffers.rope[: size.tokens]
        self._offsets = buffers.offsets[: size.sequences + 2]
        self._context = AttentionContext(StaticSegments(self._offsets, size.longest(longest)))
        self._blocks = blocks
        self._capture = capture
        self._run: Callable[[], None] | None = None if capture else self._static

    def __call__(
        self, tokens: torch.Tensor, offsets: torch.Tensor, rope: torch.Tensor | None
    ) -> torch.Tensor:
        """(T, C) tokens of sequences at (B+1,) offsets -> (T, C); a new tensor."""
        count, sequences = len(tokens), len(offsets)
        self._tokens[:count].copy_(tokens)
        # All that is over ends where the pass does: one sequence that fills it up, and others of no length.
        self._offsets[:sequences].copy_(offsets)
        self._offsets[sequences:].fill_(self._size.tokens)
        if self._rope is not None and rope is not None:
            self._rope[:count].copy_(rope)
        if self._run is None:
            assert self._capture is not None
            self._run = self._capture(self._static)
        self._run()
        return self._normed[:count].clone()

    def _static(self) -> None:
        """From buffers into buffers, asking the host for nothing."""
        self._normed.copy_(self._blocks.forward(self._tokens, self._context, self._rope))


class _Capture:
    """Makes graphs of one model, in memory that they share since they never run at once.

    Args:
        device: a GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        """What replays it. For the thread that replays it; waits for the device."""
        with torch.cuda.device(self._device):
            stream, caller = self._stream, torch.cuda.current_stream()
            stream.wait_stream(caller)
            with torch.cuda.stream(stream):
                for _ in range(_PASSES_BEFORE_CAPTURE):
                    run()
            caller.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads, which learn words and read results, go on meanwhile.
            with torch.cuda.graph(graph, self._pool, stream, capture_error_mode="thread_local"):
                run()
        replay: Callable[[], None] = graph.replay
        return replay


def open_graphs(blocks: Blocks, precision: str) -> GraphsRuntime:
    """On a GPU leaves the blocks as they are, on the CPU lays them out as `open_torch` does.

    Raises:
        UnavailableError: a model that is only run block by block; a GPU, and not in bf16, or one that has no
            attention for packed sequences.
    """
    if blocks.between:
        raise UnavailableError("this model adds something between its blocks")
    device = next(blocks.layers.parameters()).device
    if device.type != "cuda":
        return GraphsRuntime(blocks, open_torch(blocks, precision), device)
    if precision != BF16:
        raise UnavailableError("attention of packed sequences has no kernel for it")
    if torch.cuda.get_device_capability(device) < _AMPERE:
        raise UnavailableError("this GPU has no kernel for attention of packed sequences")
    return GraphsRuntime(blocks, TorchRuntime(blocks), device)
