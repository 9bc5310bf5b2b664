"""What each position of a fixed camera's picture usually looks like: a running median in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

if TYPE_CHECKING:
    from pipeline.reading import PatchFeatures

WINDOW_S = 60.0
# At 16 samples a position is right as long as fewer than half of them show what passes by. A patch of ViT-S
# takes 16 x 384 x 2 bytes, and 16 x 16 x 4 for how alike they are.
SAMPLES = 16
# Samples come closer together at first: what is there of the stream so far is spread over all of them.
_FIRST_S = 6.0
_ENOUGH = 5


class Background:
    """Keeps samples of the last minute and knows for every position the one that is like most others.

    That is its medoid, the member with the smallest sum of cosine distances: a median of vectors that is
    always something that was seen. Medians of each of C coordinates would need as many samples and a sort of
    all of them, and frugal estimates of those move too slowly for a place whose light changes.

    Attributes:
        usual: (rows, columns, C) float32 of unit length, zeros where nothing was seen yet; None before there
            is enough.
    """

    usual: PatchFeatures | None = None

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None
        self._age_s = 0.0
        self._seen_s: float | None = None
        self._sampled_s = 0.0
        self._count = 0

    def see(self, patches: PatchFeatures, at_s: float) -> None:
        """Takes in a frame, where it is time for a sample.

        Args:
            patches: (rows, columns, C) of unit length, or zeros.
            at_s: when; a clock that jumps back only stands still.
        """
        if patches.shape != self._shape:
            self._begin(patches.shape)
        if self._seen_s is not None:
            self._age_s += max(at_s - self._seen_s, 0.0)
        self._seen_s = at_s
        interval_s = min(max(self._age_s, _FIRST_S), WINDOW_S) / SAMPLES
        if not self._count or self._age_s - self._sampled_s >= interval_s:
            self._sampled_s = self._age_s
            self._take(patches.reshape(-1, patches.shape[-1]))

    def _begin(self, shape: tuple[int, ...]) -> None:
        count, width = shape[0] * shape[1], shape[2]
        self._shape, self._count, self.usual = shape, 0, None
        self._samples = torch.zeros((SAMPLES, count, width), dtype=torch.float16)
        self._alike: npt.NDArray[np.float32] = np.zeros((SAMPLES, SAMPLES, count), np.float32)

    def _take(self, patches: npt.NDArray[np.float32]) -> None:
        assert self._shape is not None
        row = self._count % SAMPLES
        self._count += 1
        self._samples[row] = torch.from_numpy(patches)
        for other in range(min(self._count, SAMPLES)):
            # One at a time stays in the cache. numpy takes six times as long to read halves.
            alike = np.einsum("nc,nc->n", self._samples[other].float().numpy(), patches)
            self._alike[row, other] = self._alike[other, row] = alike
        if self._count >= _ENOUGH:
            # What was not seen, and slots not filled, are zeros: like nothing, so never the medoid.
            best = torch.from_numpy(self._alike.sum(axis=1).argmax(axis=0))
            self.usual = self._samples[best, torch.arange(len(best))].float().numpy().reshape(self._shape)
