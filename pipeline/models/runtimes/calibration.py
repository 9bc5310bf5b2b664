"""Gathers the first frames that a model sees, for a decision that needs some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from pipeline.models.encoder import Features, PackedEncoder
from pipeline.tokenizers import FullTokenizer

Images = Sequence[torch.Tensor]


class Calibration(ABC):
    """A decision about an encoder's runtime that waits for frames.

    Args:
        encoder: gets the runtime.

    Attributes:
        wanted: frames to decide on; 0 once that is done.
        per_batch: how many to take of a batch, whose frames may be much alike.
    """

    wanted: int
    per_batch: int

    def __init__(self, encoder: PackedEncoder) -> None:
        self._encoder = encoder
        self._gathered: list[torch.Tensor] = []

    @abstractmethod
    def decide(self, images: Images) -> None:
        """Gives the encoder its runtime, and sets `wanted` to 0.

        Args:
            images: at least one tensor (B, 3, H, W) of frames as the encoder takes them.
        """

    def add(self, images: torch.Tensor) -> None:
        """Takes frames that the encoder is about to run on; decides once there are enough.

        Args:
            images: (B, 3, H, W).
        """
        self._gathered.append(images[: self.per_batch].clone())
        if sum(map(len, self._gathered)) >= self.wanted:
            gathered, self._gathered = self._gathered, []
            self.decide(gathered)

    def _pooled(self, images: Images) -> torch.Tensor:
        """(frames, C) pooled features in float32."""
        encoder = self._encoder
        return torch.cat([encoder.head(self._encode(some), pre_logits=True).float() for some in images])

    def _encode(self, images: torch.Tensor) -> Features:
        """Runs frames in full."""
        plan = FullTokenizer().plan(images, self._encoder.patch_size, self._encoder.prefix)
        return self._encoder.encode(images, plan)


def percentile_5(cosines: torch.Tensor) -> float:
    """What nineteen in twenty reach."""
    return float(cosines.quantile(0.05))


def floor(value: float) -> str:
    """Four decimals, rounded down so that a limit that was missed is not shown as kept."""
    return f"{int(value * 10_000) / 10_000:.4f}"
