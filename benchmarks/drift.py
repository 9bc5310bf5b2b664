"""Does what a stream recalls go stale? Its fidelity in the first minute of a long clip and in the last.

    python -m benchmarks.drift [CLIP] [--target 0.98] [--minutes 10] [--fps 2]

The clip is shown again and again, so that the last minute shows what the first did. Over it go a slow change
of light, a clock (squares of one patch that change every frame) and the noise of a sensor. Only these two
minutes are also answered in full; the frames between them are recalled.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.common import sample_frames, write_results
from pipeline.engine import Engine
from pipeline.fidelity import Answer, Fidelity
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.runtimes import FP32
from pipeline.tokenizers import FullTokenizer, RecallTokenizer

# Period of the light in seconds and how far it goes; deviation of the noise, of 255.
LIGHT_S, LIGHT, NOISE = 97.0, 0.1, 1.5


def long_clip(clip: list[Frame], frames: int, fps: float, patch_size: int) -> Iterator[Frame]:
    """The clip for as long as it takes, with what changes over it."""
    chance = np.random.default_rng(0)
    for number in range(frames):
        frame, at_s = clip[number % len(clip)], number / fps
        pixels = frame.image * (1 + LIGHT * math.sin(2 * math.pi * at_s / LIGHT_S))
        pixels = pixels + chance.normal(0, NOISE, pixels.shape)
        pixels[:patch_size, : 3 * patch_size] = np.repeat(chance.integers(0, 256, 3), patch_size)[:, None]
        image = pixels.clip(0, 255).astype(np.uint8)
        yield replace(frame, image=image, times=replace(frame.times, pts_s=at_s))


def minutes_of(engine: Engine, frames: Iterator[Frame], ends: tuple[range, range], target: float) -> Any:
    """Fidelity and share of operations in both minutes, the share of all, and what was decided."""
    tokenizer, decided, shares = RecallTokenizer(target), Counter[str](), list[float]()
    fidelity = [Fidelity() for _ in ends]
    for number, frame in enumerate(frames):
        (given,) = engine.submit([frame], tokenizer).result().frames
        assert given.share is not None
        decided[str(given.decision)] += 1
        shares.append(given.share)
        for one, end in zip(fidelity, ends, strict=True):
            if number in end:
                (full,) = engine.submit([frame], FullTokenizer()).result().frames
                answers = (given.prediction.embedding, full.prediction.embedding)
                one.add(*(Answer(torch.tensor(embedding)) for embedding in answers))
    found: dict[str, Any] = {"share": round(float(np.mean(shares)), 4), "decisions": dict(decided)}
    for name, one, end in zip(("first", "last"), fidelity, ends, strict=True):
        figures = one.figures()
        found[name] = {
            "frames": figures.frames,
            "share": round(float(np.mean([shares[number] for number in end])), 4),
            **{
                what: round(getattr(figures, what), 4)
                for what in ("cosine_mean", "cosine_p5", "cosine_min", "change")
            },
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip", nargs="?", default="carphone", help="a path, or the name of a sample clip")
    parser.add_argument("--target", type=float, default=0.98)
    parser.add_argument("--minutes", type=float, default=10.0, help="at least so long, in whole clips")
    parser.add_argument("--fps", type=float, default=2.0)
    asked = parser.parse_args()
    engine = Engine(load_model(embedding=True, precision=FP32, runtime="torch"))
    assert engine.model.patch_size is not None
    clip = sample_frames(asked.clip, engine.model.input, asked.fps)
    minute = round(60 * asked.fps)
    # The last minute begins where the clip does.
    before = math.ceil((asked.minutes * minute - minute) / len(clip)) * len(clip)
    frames = long_clip(clip, before + minute, asked.fps, engine.model.patch_size)
    ends = range(minute), range(before, before + minute)
    found = minutes_of(engine, frames, ends, asked.target)
    print(f"{before + minute} frames, {(before + minute) / minute:.1f} minutes at target {asked.target:g}")
    for name in ("first", "last"):
        print(f"{name} minute: " + ", ".join(f"{what} {value}" for what, value in found[name].items()))
    print(f"all: share {found['share']}, {found['decisions']}")
    said = {"fps": asked.fps, "target": asked.target, "minutes": (before + minute) / minute}
    write_results("drift", said | found)


if __name__ == "__main__":
    main()
