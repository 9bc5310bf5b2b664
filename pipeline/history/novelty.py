"""Which frames are worth remembering."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.history.moments import unit
from pipeline.results import Prediction

# 1 - cosine to the embedding kept last; what that keeps of the sample clips is in docs/find.md.
DEFAULT_NOVELTY = 0.005


class Novelty:
    """Says of each frame of a stream whether it shows something else than the one kept last.

    Args:
        beyond: 1 - cosine to the embedding kept last that a frame must exceed.
    """

    def __init__(self, beyond: float = DEFAULT_NOVELTY) -> None:
        self._beyond = beyond
        self._last: npt.NDArray[np.float32] | None = None

    def keeps(self, prediction: Prediction, decision: str | None) -> bool:
        """Whether a frame is to be kept; it then is what the next ones are held against.

        A held frame repeats an earlier answer: there is nothing in it to remember.

        Args:
            prediction: of the frame; one without an embedding is not kept.
            decision: how a stream that recalls was answered, see `FrameResult`.
        """
        embedding = prediction.embedding
        if embedding is None or decision == "hold":
            return False
        vector, last = unit(np.asarray(embedding)), self._last
        if last is not None and last.shape == vector.shape and 1 - float(vector @ last) <= self._beyond:
            return False
        self._last = vector
        return True
