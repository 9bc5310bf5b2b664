"""Passes of black pictures before the first real ones, on a GPU: kernels are loaded and chosen in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.tokenizers import FullTokenizer, IntraTokenizer, Tokenizer


def batches_up_to(most: int) -> list[int]:
    """The powers of two below `most`, and `most`."""
    return [1 << power for power in range(most.bit_length()) if 1 << power < most] + [most]


def warm_up(engine: Engine, most: int) -> None:
    """Lets the model prepare, and runs batches of several sizes, in full and with fewer tokens.

    To be called in the thread that will run the others, since cuDNN's choices and cuBLAS's memory are a
    thread's; and not on the CPU, where a model may fit its precision to the first frames that it sees.

    Args:
        engine: that nothing ran on yet.
        most: frames in a batch.
    """
    # A frame that is checked comes a second time.
    engine.model.prepare(most + 1)
    spec = engine.model.input
    geometry = Geometry(spec.width, spec.height, spec.width, spec.height, 1.0, 1.0, 0.0, 0.0)
    black = np.zeros((spec.height, spec.width, 3), dtype=np.uint8)
    frame = Frame(FrameTimes(pts_s=None), black, geometry)
    tokenizers: Sequence[Tokenizer] = [FullTokenizer()]
    if IntraTokenizer.name in engine.model.tokenizers:
        tokenizers = [*tokenizers, IntraTokenizer(0.5)]
    for count in batches_up_to(most):
        for tokenizer in tokenizers:
            engine.submit([frame] * count, tokenizer).result()
