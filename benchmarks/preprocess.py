"""Preprocessing: time and fidelity of the chosen path against timm's own transform and what was rejected.

    python -m benchmarks.preprocess

Every variant makes a 224 x 224 input (bicubic, centre crop) of the same decoded frames, in turn, frame by
frame, so that all see the same machine, and in one thread that is not the main one, as in a running stream.
`ms` is the median CPU time per frame, so that what else runs does not count; `speedup` is timm's median
divided by it; `difference` is the mean absolute difference to timm's input on the scale of 0..255. timm's
time includes what it needs first, `frame.to_image()`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Interpolation, VideoReformatter
from rich.console import Console
from rich.table import Table

from benchmarks.common import CLIPS, write_results
from pipeline.frame import Pixels
from pipeline.input_spec import InputSpec
from pipeline.models.torchvision_compat import allow_missing_operators
from pipeline.preprocess import Preprocessor
from pipeline.sources.spec import parse_source

allow_missing_operators()
from timm.data import create_transform  # noqa: E402

SIDE = 224
ACCURATE = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
Variant = Callable[[av.VideoFrame], Pixels]


def timm_transform() -> Variant:
    shape, black, white = (3, SIDE, SIDE), (0, 0, 0), (1, 1, 1)
    transform = create_transform(shape, interpolation="bicubic", crop_pct=1.0, mean=black, std=white)

    def run(frame: av.VideoFrame) -> Pixels:
        image: torch.Tensor = transform(frame.to_image(threads=1))
        pixels: Pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        return pixels

    return run


def chosen() -> Variant:
    preprocess = Preprocessor(InputSpec(SIDE, SIDE))
    return lambda frame: preprocess(frame)[0]


def swscale(flags: Interpolation) -> Variant:
    """swscale converts and scales in one go, straight from YUV."""
    reformatter = VideoReformatter()

    def run(frame: av.VideoFrame) -> Pixels:
        width, height = resized(frame)
        scaled = reformatter.reformat(frame, width, height, "rgb24", interpolation=flags, threads=1)
        return cropped(scaled.to_ndarray())

    return run


def swscale_in_two(flags: Interpolation) -> Variant:
    """swscale scales the planes first, then converts the small picture."""
    scaler, converter = VideoReformatter(), VideoReformatter()

    def run(frame: av.VideoFrame) -> Pixels:
        width, height = resized(frame)
        small = scaler.reformat(frame, width, height, "yuv444p", interpolation=flags, threads=1)
        return cropped(converter.reformat(small, format="rgb24", threads=1).to_ndarray())

    return run


def opencv(interpolation: int) -> Variant:
    """swscale converts at full size, OpenCV scales."""
    reformatter = VideoReformatter()

    def run(frame: av.VideoFrame) -> Pixels:
        rgb = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return cropped(cv2.resize(rgb, resized(frame), interpolation=interpolation))

    return run


VARIANTS: dict[str, Callable[[], Variant]] = {
    "timm (to_image, Pillow)": timm_transform,
    "chosen (swscale RGB, torch)": chosen,
    "swscale AREA": partial(swscale, Interpolation.AREA),
    "swscale BICUBIC": partial(swscale, Interpolation.BICUBIC),
    "swscale BICUBIC, accurate": partial(swscale, Interpolation.BICUBIC | ACCURATE),
    "swscale LANCZOS, accurate": partial(swscale, Interpolation.LANCZOS | ACCURATE),
    "swscale BICUBIC to 4:4:4, RGB": partial(swscale_in_two, Interpolation.BICUBIC),
    "RGB, OpenCV AREA": partial(opencv, cv2.INTER_AREA),
    "RGB, OpenCV LINEAR": partial(opencv, cv2.INTER_LINEAR),
    "RGB, OpenCV CUBIC": partial(opencv, cv2.INTER_CUBIC),
}


def resized(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height with the short side at `SIDE`."""
    short = min(frame.width, frame.height)
    return frame.width * SIDE // short, frame.height * SIDE // short


def cropped(pixels: np.ndarray) -> Pixels:
    top, left = (round((n - SIDE) / 2) for n in pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + SIDE, left : left + SIDE])


def measure(clip: str, frames: int, rounds: int) -> dict[str, Any]:
    """Times all variants on frames spread over a clip; their order turns with every frame."""
    with av.open(parse_source(f"sample:{clip}").location) as container:
        every = max(container.streams.video[0].frames // frames, 1)
        pictures = list(islice(container.decode(video=0), 0, every * frames, every))
    variants = {name: make() for name, make in VARIANTS.items()}
    expected = [variants["timm (to_image, Pillow)"](picture).astype(int) for picture in pictures]
    difference = {
        name: statistics.fmean(
            float(np.abs(run(picture) - pixels).mean())
            for picture, pixels in zip(pictures, expected, strict=True)
        )
        for name, run in variants.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    order = list(variants)
    for _ in range(rounds):
        for picture in pictures:
            for name in order:
                started = time.thread_time()
                variants[name](picture)
                seconds[name].append(time.thread_time() - started)
            order.append(order.pop(0))
    median = {name: statistics.median(values) for name, values in seconds.items()}
    baseline = median["timm (to_image, Pillow)"]
    return {
        "size": f"{pictures[0].width}x{pictures[0].height}",
        "variants": {
            name: {
                "ms": round(median[name] * 1e3, 3),
                "speedup": round(baseline / median[name], 2),
                "difference": round(difference[name], 3),
            }
            for name in variants
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=30, help="frames per clip (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="times each is measured (default %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with ThreadPoolExecutor(max_workers=1) as thread:
        clips = {
            clip: thread.submit(measure, clip, options.frames, options.rounds).result() for clip in CLIPS
        }

    console = Console()
    for clip, result in clips.items():
        table = Table("variant", "ms", "speedup", "difference", title=f"{clip} {result['size']} to {SIDE}")
        for name, row in result["variants"].items():
            table.add_row(name, *(f"{row[key]}" for key in ("ms", "speedup", "difference")))
        console.print(table)
    libraries = {name: version(name) for name in ("av", "pillow")} | {
        "swscale": ".".join(str(number) for number in av.library_versions["libswscale"])
    }
    settings = {"frames_per_clip": options.frames, "rounds": options.rounds}
    console.print(write_results("preprocess", {**settings, "libraries": libraries, "clips": clips}))


if __name__ == "__main__":
    main()
