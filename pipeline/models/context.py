"""What attention has to know of a pass through a block, beside the tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pipeline.models.attention import AnySegments, attend_part
from pipeline.tokenizers.stateful import BlockMemory
from pipeline.tokenizers.steps import Attended


@dataclass(slots=True, eq=False)
class Capture:
    """Where the attention of a block leaves what is to be seen of it.

    Attributes:
        wants_attention: whether `attended` is to be there.
        keys: (T, H, D) as they were before rotation.
        attended: what the attention was made of.
    """

    wants_attention: bool
    keys: torch.Tensor | None = None
    attended: Attended | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Recalled:
    """What the tokens of a block attend to instead of each other: every position of their own image.

    Attributes:
        memories: of the block, one per image.
        rows: positions that the tokens of each image are; None for all, in order.
    """

    memories: Sequence[BlockMemory]
    rows: Sequence[torch.Tensor | None]

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, segments: AnySegments
    ) -> torch.Tensor:
        """Writes keys and values (T, H, D) to the memories and attends to all that is in them: (T, H, D).

        Tokens behind the last segment stay what they were asked with.
        """
        mixed, start = [], 0
        asked, key, value = (part.transpose(0, 1) for part in (query, key, value))
        for length, memory, rows in zip(segments.lengths, self.memories, self.rows, strict=True):
            end = start + length
            keys, values = key[:, start:end], value[:, start:end]
            memory.write(keys, values, rows)
            if rows is not None:
                # Views, where the memory is of the type that is computed in.
                keys, values = memory.keys.to(query.dtype), memory.values.to(query.dtype)
            mixed.append(attend_part(asked, start, end, keys, values))
            start = end
        if start < len(query):
            mixed.append(query[start:])
        return torch.cat(mixed)


@dataclass(frozen=True, slots=True, eq=False)
class AttentionContext:
    """Handed to every block as its `attn_mask`, which timm's blocks pass on untouched.

    Whatever else lets a block's tokens attend to something other than each other has its place here, and
    `PackedAttention.forward` is where it takes effect.

    Attributes:
        segments: where the tokens of each image lie.
        key_bias: (T,) float32, log of the patches each token stands for (proportional attention of token
            merging); None where that is one everywhere or is not to count.
        capture: where to leave keys and attention; None where nobody wants them.
        recalled: what the tokens attend to instead of each other; None for each other.
    """

    segments: AnySegments
    key_bias: torch.Tensor | None = None
    capture: Capture | None = None
    recalled: Recalled | None = None

    def watched(self) -> AttentionContext:
        """The same, which leaves what attention is made of."""
        if self.capture is None:
            return replace(self, capture=Capture(wants_attention=True))
        self.capture.wants_attention = True
        return self

    @property
    def attended(self) -> Attended:
        """What the attention of the block that ran was made of, where that was wanted."""
        assert self.capture is not None, "nobody wanted it"
        assert self.capture.attended is not None, "the block has not run"
        return self.capture.attended
