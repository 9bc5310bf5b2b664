"""Frames of real clips as Ingest sends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import cv2
import numpy as np

from pipeline.defaults import DEFAULT_MODEL
from pipeline.frame import Frame, Pixels
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Watch
from pipeline.input_spec import InputSpec
from pipeline.models import model_input
from pipeline.preprocess import Preprocessor
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.tokenizers import Tokenizer
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stream import SameTokenizer
from workers.contract.messages import FrameBatch, FrameFacts, TokenSettings

FULL = TokenSettings("null", "full", {}, "gate/null")
INTER = TokenSettings(DEFAULT_MODEL, "inter", {"threshold": 0.05, "exact": True}, f"gate/{DEFAULT_MODEL}")


@cache
def clip(model: str = DEFAULT_MODEL, count: int = 16, clip: str = "sample:carphone") -> list[Frame]:
    """The first frames of a clip, as the model wants them."""
    spec, _ = model_input(model)
    return _read(spec, count, clip)


def _read(spec: InputSpec, count: int, clip: str) -> list[Frame]:
    preprocess = Preprocessor(spec)
    source = open_source(parse_source(clip), SourceOptions(), lambda _: None)
    frames = []
    for decoded in source.frames():
        image, geometry, _ = preprocess(decoded.picture, decoded.display)
        frames.append(Frame(replace(decoded.times, decode_ms=1.0), image, geometry))
        if len(frames) == count:
            break
    source.close()
    return frames


def encoded(image: Pixels) -> bytes:
    """A picture as a file that loses nothing of it."""
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


class _Asked(SameTokenizer):
    """Asks for a tokenizer before every pass."""

    def __init__(self, make: Callable[[], Tokenizer]) -> None:
        self._ask = make

    def next(self, frames: Sequence[Frame]) -> Tokenizer:  # noqa: ARG002
        return self._ask()


def asked(make: Callable[[], Tokenizer]) -> Guarded:
    """A stream whose tokenizer is made in the device thread, just before a pass."""
    return Guarded(TOKENIZERS["full"], {}, _Asked(make), Watch())


def batch(
    stream: str,
    first: int = 0,
    count: int = 4,
    settings: TokenSettings = FULL,
    fence: int = 1,
    position: dict[str, Any] | None = None,
    frames: Sequence[Frame] | None = None,
) -> FrameBatch:
    """A message with frames of the clip, from `first` on, round and round."""
    some = frames or clip(settings.model)
    taken = [some[number % len(some)] for number in range(first, first + count)]
    facts = [FrameFacts(frame.times, frame.geometry, time.time(), frame.dropped) for frame in taken]
    images = np.stack([frame.image for frame in taken])
    return FrameBatch(stream, fence, first, images, facts, settings, position or {})


def with_drops(sent: FrameBatch, dropped: dict[str, int]) -> FrameBatch:
    """The same message, its first frame preceded by dropped ones."""
    return replace(sent, facts=[replace(sent.facts[0], dropped=dropped), *sent.facts[1:]])
