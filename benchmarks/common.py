"""What the benchmarks share: frames of the sample clips, machine facts, result files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.frame import Frame
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.sampling import RateSampler
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.tokenizers.registry import TOKENIZERS
from workers.bench.machine import machine

RESULTS = Path(__file__).parent / "results"
CLIPS = ("bikes", "bunny", "carphone")
INTER = TOKENIZERS["inter"]
# Cosine distance up to which a patch counts as a word, where nothing else is said.
NEAR = INTER.value("threshold")


def sample_frames(
    clip: str, spec: InputSpec, fps: float | None = None, limit: int | None = None
) -> list[Frame]:
    """Decoded and preprocessed frames of a sample clip, or of the clip at a path."""
    preprocess, sampler = Preprocessor(spec), RateSampler(fps)
    source = open_source(
        parse_source(f"sample:{clip}" if clip in CLIPS else clip), SourceOptions(), lambda _: None
    )
    frames = []
    for decoded in source.frames():
        if sampler.wants(decoded.times.pts_s):
            image, geometry, _ = preprocess(decoded.picture, decoded.display)
            frames.append(Frame(decoded.times, image, geometry))
            if limit is not None and len(frames) >= limit:
                break
    source.close()
    return frames


def write_results(name: str, figures: Any) -> Path:
    """Writes benchmarks/results/<name>.json with the machine's facts."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "figures": figures}, indent=1) + "\n")
    return path
