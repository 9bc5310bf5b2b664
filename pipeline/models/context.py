"""What attention has to know of a pass through a block, beside the tokens."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pipeline.models.attention import Segments
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
class AttentionContext:
    """Handed to every block as its `attn_mask`, which timm's blocks pass on untouched.

    Whatever else lets a block's tokens attend to something other than each other has its place here, and
    `PackedAttention.forward` is where it takes effect.

    Attributes:
        segments: where the tokens of each image lie.
        key_bias: (T,) float32, log of the patches each token stands for (proportional attention of token
            merging); None where that is one everywhere or is not to count.
        capture: where to leave keys and attention; None where nobody wants them.
    """

    segments: Segments
    key_bias: torch.Tensor | None = None
    capture: Capture | None = None
