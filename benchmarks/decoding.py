"""Decoding: CPU time of a camera whose frames are sampled, by what of it is decoded.

    python -m benchmarks.decoding [CLIP ...] [--fps 5 1]

Clips of 1280x720 are encoded from a sample clip as cameras and recordings do: H.264 with a key frame every
two seconds (`camera`, no B-frames), every second (`camera-1s`), and x264's own choice (`b-frames`). Each arm
reads a clip to its end in one thread. `plain` is a loop of PyAV over every frame and nothing else, which is
libavcodec's own rate (ffmpeg's, where its binary is found, stands beside it); `swscale` is that loop with
every picture made RGB of our size by FFmpeg's own scaler, with the filter that its program takes (bicubic);
the others sample, convert and scale to 224 as `vwt run` does. All arms take turns, and figures are medians
over rounds: `plain` in milliseconds of CPU time per frame of the clip, the others as a ratio to `plain` of
the same round. `decoded` is the share of frames that `needed` decodes; `same` says that what is sampled is
bit by bit what a full decode samples. `rate` is how many frames per CPU second become ready where every
frame is sampled, as a ratio to `swscale`: the same library, one thread, pictures of the same size.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from itertools import cycle, islice
from pathlib import Path
from typing import Any, get_args

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
from pipeline.preprocess import Preprocessor
from pipeline.sampling import RateSampler
from pipeline.sources import SourceOptions, open_source
from pipeline.sources.source import Decode
from pipeline.sources.spec import parse_source

RATE, SECONDS, SIZE = 25, 20, (1280, 720)
# That of the bundled model.
INPUT = InputSpec(224, 224, "native", patch_size=14)
ENCODED = {
    "camera": {"preset": "veryfast", "bf": "0", "g": "50", "sc_threshold": "0"},
    "camera-1s": {"preset": "veryfast", "bf": "0", "g": "25", "sc_threshold": "0"},
    "b-frames": {"preset": "medium"},
}


def encoded(name: str, folder: Path) -> Path:
    """A clip of 1280x720 in H.264, the clip bikes forward and backward."""
    path = folder / f"{name}.mp4"
    with av.open(parse_source("sample:bikes").location) as container:
        pictures = [f.reformat(*SIZE) for f in islice(container.decode(video=0), 100)]
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=RATE, options=ENCODED[name])
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number, picture in enumerate(islice(cycle([*pictures, *pictures[::-1]]), RATE * SECONDS)):
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            picture.pict_type = 0
            target.mux(stream.encode(picture))
        target.mux(stream.encode())
    return path


def plain(path: str, then: Callable[[av.VideoFrame], object] | None = None) -> tuple[int, float]:
    """Frames of a clip, and the CPU seconds that decoding all of them takes; `then` is done with each."""
    began, frames = time.process_time(), 0
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            if then is not None:
                then(frame)
            frames += 1
    return frames, time.process_time() - began


def swscale(path: str, size: tuple[int, int]) -> float:
    """CPU seconds of the same with every picture made RGB of this width and height in one go."""
    reformatter, how = VideoReformatter(), Interpolation.BICUBIC
    return plain(
        path, lambda f: reformatter.reformat(f, *size, "rgb24", None, None, how, threads=1).to_ndarray()
    )[1]


def ffmpeg(path: str) -> float:
    """The same of the program ffmpeg."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", path, "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def sampled(path: str, fps: float | None, decode: Decode, seen: Callable[[Any], None]) -> tuple[float, float]:
    """CPU seconds until all sampled frames are ready for a model, and the share of frames decoded."""
    preprocess, sampler = Preprocessor(INPUT), RateSampler(fps)
    options = SourceOptions(decoder="cpu", fps=fps, decode=decode, threads=1)
    began = time.process_time()
    with closing(open_source(parse_source(path), options, lambda _: None)) as source:
        for decoded in source.frames():
            if decoded.picture is None:
                continue
            if sampler.wants(decoded.times.pts_s) or decoded.sampled:
                seen(preprocess(decoded.picture, decoded.display)[0])
    return time.process_time() - began, source.decoding.share or 0.0


def same(pictures: list[Pixels], others: list[Pixels]) -> bool:
    """Whether these are the same pictures, bit by bit."""
    return len(pictures) == len(others) and all(map(np.array_equal, pictures, others))


def measure(path: str, fps: float, rounds: int) -> dict[str, Any]:
    """Figures of one clip, see above."""
    pictures: dict[str, list[Pixels]] = {decode: [] for decode in get_args(Decode)}
    shares = {decode: sampled(path, fps, decode, pictures[decode].append)[1] for decode in get_args(Decode)}
    height, width, _ = pictures["all"][0].shape
    every: list[float] = []
    ratios: dict[str, list[float]] = {
        name: [] for name in (*get_args(Decode), "every frame", "swscale", "ffmpeg")
    }
    rates: list[float] = []
    frames = 1
    for _ in range(rounds):
        frames, seconds = plain(path)
        every.append(seconds)
        for decode in get_args(Decode):
            ratios[decode].append(sampled(path, fps, decode, lambda _: None)[0] / seconds)
        ratios["every frame"].append(sampled(path, None, "all", lambda _: None)[0] / seconds)
        ratios["swscale"].append(swscale(path, (width, height)) / seconds)
        rates.append(ratios["swscale"][-1] / ratios["every frame"][-1])
        if shutil.which("ffmpeg"):
            ratios["ffmpeg"].append(ffmpeg(path) / seconds)
    return {
        "plain_ms": round(statistics.median(every) / frames * 1e3, 3),
        "frames": frames,
        "same": same(pictures["all"], pictures["needed"]),
        "share_decoded": {decode: round(share, 3) for decode, share in shares.items()},
        "rate_to_swscale": round(statistics.median(rates), 3),
        "ratio_to_plain": {name: round(statistics.median(r), 3) for name, r in ratios.items() if r},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=re.split(r"\n", __doc__)[0])
    parser.add_argument("clips", nargs="*", default=[*ENCODED, *CLIPS], help="names as above, or paths")
    parser.add_argument(
        "--fps",
        type=float,
        nargs="+",
        default=[5.0, 1.0],
        help="frames sampled a second (default %(default)s)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="times each is measured (default %(default)s)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for clip in options.clips:
            path = str(encoded(clip, Path(folder))) if clip in ENCODED else clip
            path = parse_source(f"sample:{clip}").location if clip in CLIPS else path
            for fps in options.fps:
                figures[f"{Path(clip).name}, {fps:g}/s"] = measure(path, fps, options.rounds)
    table = Table(
        "clip, sampled",
        "plain ms",
        *get_args(Decode),
        "decoded",
        "every frame",
        "swscale",
        "rate",
        "ffmpeg",
        "same",
    )
    for clip, row in figures.items():
        ratios, share = row["ratio_to_plain"], row["share_decoded"]["needed"]
        table.add_row(
            clip,
            f"{row['plain_ms']:.2f}",
            *(f"{ratios[name]:.2f}" for name in get_args(Decode)),
            f"{share:.2f}",
            f"{ratios['every frame']:.2f}",
            f"{ratios['swscale']:.2f}",
            f"{row['rate_to_swscale']:.2f}",
            f"{ratios['ffmpeg']:.2f}" if "ffmpeg" in ratios else "-",
            "yes" if row["same"] else "NO",
        )
    console = Console()
    console.print(table)
    settings = {"rounds": options.rounds}
    libraries = {"avcodec": ".".join(str(n) for n in av.library_versions["libavcodec"])}
    console.print(write_results("decoding", {**settings, "libraries": libraries, "clips": figures}))


if __name__ == "__main__":
    main()
