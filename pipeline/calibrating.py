"""Lets a model decide in what it computes on frames of a source, before it runs on anything."""

from __future__ import annotations

from contextlib import closing

import torch

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.models import Model
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.stacking import stacks
from pipeline.tokenizers import FullTokenizer

# Frames of a second are much alike.
_FPS = 2.0


def calibrate(model: Model, source: str) -> None:
    """Shows a model frames of a source, where it still has to see some.

    Args:
        model: loaded.
        source: a file, or whatever else `vwt run` takes; its first seconds are read.

    Raises:
        SourceError: it cannot be read.
        UsageError: it has no frames.
    """
    wanted = model.frames_wanted
    if not wanted:
        return
    frames = []
    with closing(open_source(parse_source(source), SourceOptions(), lambda _notice: None)) as opened:
        reader = FrameReader(
            opened, Preprocessor(model.input), fps=_FPS, policy="block", capacity=wanted, max_frames=wanted
        )
        try:
            while (batch := reader.batch(wanted)) is not None:
                frames += batch
        finally:
            reader.stop()
    if not frames:
        raise UsageError(f"there are no frames in {source} to calibrate on; name another file")
    with torch.inference_mode():
        _, images = Engine(model).plan(stacks([(frames, FullTokenizer())], model.patch_size))
        model.calibrate(images)
