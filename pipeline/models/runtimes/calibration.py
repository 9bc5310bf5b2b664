"""Gathers the first frames that a model sees, for a decision that needs some."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.positions import Placed
from pipeline.tokenizers import FullTokenizer

# Frames as an encoder takes them; those of one size side by side.
Images = Sequence[Placed]


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
        self._gathered: list[Placed] = []

    @abstractmethod
    def decide(self, images: Images) -> None:
        """Gives the encoder its runtime, and sets `wanted` to 0.

        Args:
            images: at least one.
        """

    def add(self, images: Images) -> None:
        """Takes frames that the encoder is about to run on; decides once there are enough."""
        left = self.per_batch
        for some, place in images:
            if left > 0:
                self._gathered.append(Placed(some[:left].clone(), place))
                left -= len(some)
        if sum(len(some) for some, _ in self._gathered) >= self.wanted:
            gathered, self._gathered = self._gathered, []
            self.decide(gathered)

    def _pooled(self, images: Images) -> torch.Tensor:
        """(frames, C) pooled features in float32."""
        encoder = self._encoder
        return torch.cat([encoder.head(self._encode(some), pre_logits=True).float() for some in images])

    def _encode(self, some: Placed) -> Features:
        """Runs frames of one size in full."""
        plan = FullTokenizer().plan(some.images, self._encoder.patch_size, self._encoder.prefix)
        return self._encoder.encode([some], plan)


def percentile_5(cosines: torch.Tensor) -> float:
    """What nineteen in twenty reach."""
    return float(cosines.quantile(0.05))


def floor(value: float) -> str:
    """Four decimals, rounded down so that a limit that was missed is not shown as kept."""
    return f"{int(value * 10_000) / 10_000:.4f}"
