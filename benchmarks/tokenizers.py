"""Whether saved operations become saved time: tokenizers against `full`, and the time of planning.

    python -m benchmarks.tokenizers [--one-thread] [--quick]

Every batch of frames goes through `Engine.submit` and `result`, as in `vwt run`, with each tokenizer in turn;
the order turns with every batch and all of it is repeated. A batch counts with the median of its repetitions.
`time` and `FLOPs` are ratios to `full` on the same frames; `time/FLOPs` is the first over the second, at
most 1.10. It is given without planning on either side, and with planning on both. `planning` is the time
spent in `Tokenizer.plan` as a share of a full forward pass, at most 0.05. Words are learned from
the first 64 frames of the clip, as `vwt run` does; the frames measured are spread over the rest.

Time is wall time with all cores, which needs a machine that does nothing else. `--one-thread` counts the CPU
time of a single thread instead, which other processes hardly change.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import sample_frames, write_results
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import Model, load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer, TokenPlan
from pipeline.warmup import learn_words

WARMUP = 64
MODELS = {"dinov2_vits14_saliency": None, "vit_small_patch16_224": "random"}
CLIPS = ("bikes", "bunny")
BATCHES = (1, 8)
WORDS = (300, 1000)
THRESHOLDS = (0.02, 0.1)
DROPS = (0.25, 0.5)
MAX_TIME_TO_FLOPS = 1.10
MAX_PLANNING = 0.05

Clock = Callable[[], float]


class Planned:
    """A tokenizer that notes how long its last plan took, in seconds of `clock`."""

    def __init__(self, inner: Tokenizer, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self.name = inner.name
        self.plan_s = 0.0

    @property
    def vocab_version(self) -> int | None:
        return self._inner.vocab_version

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        started = self._clock()
        plan = self._inner.plan(images, patch_size, prefix)
        self.plan_s = self._clock() - started
        return plan

    def flops(self, patches: int, patch_size: int) -> int:
        return self._inner.flops(patches, patch_size)


@dataclass
class Measured:
    """What one tokenizer cost on all batches.

    Attributes:
        total_s, plan_s: one list per batch of its repetitions, in seconds.
        model_flops, plan_flops: per frame.
        kept: patch tokens per frame.
    """

    total_s: list[list[float]]
    plan_s: list[list[float]]
    model_flops: dict[int, int] = field(default_factory=dict)
    plan_flops: int = 0
    kept: dict[int, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(map(statistics.median, self.total_s))

    @property
    def planning_s(self) -> float:
        return sum(map(statistics.median, self.plan_s))

    @property
    def flops(self) -> int:
        return sum(self.model_flops.values())


def tokenizers(model: Model, warmup: list[Frame]) -> dict[str, Tokenizer]:
    """All settings that are compared."""
    assert model.patch_size is not None
    made: dict[str, Tokenizer] = {"full": FullTokenizer()}
    made |= {f"intra drop={drop}": IntraTokenizer(drop) for drop in DROPS}
    for words in WORDS:
        vocabulary = learn_words([f.image for f in warmup], model.input, model.patch_size, words)
        made |= {f"inter V={words} t={t}": InterTokenizer(vocabulary, t) for t in THRESHOLDS}
    return made


def measure(
    engine: Engine, batches: list[list[Frame]], arms: dict[str, Tokenizer], rounds: int, clock: Clock
) -> dict[str, dict[str, float]]:
    """Times all tokenizers on the same batches, interleaved."""
    model = engine.model
    assert model.patch_size is not None
    height, width, _ = batches[0][0].image.shape
    grid = (height // model.patch_size, width // model.patch_size)
    timed = {name: Planned(arm, clock) for name, arm in arms.items()}
    found = {name: Measured([[] for _ in batches], [[] for _ in batches]) for name in arms}
    order = list(arms)
    for name in order:
        engine.submit(batches[0], timed[name]).result()
    for _ in range(rounds):
        for number, batch in enumerate(batches):
            for name in order:
                one = found[name]
                started = clock()
                output = engine.submit(batch, timed[name]).result()
                one.total_s[number].append(clock() - started)
                one.plan_s[number].append(timed[name].plan_s)
                for index, frame in enumerate(output.frames, start=number * len(batches[0])):
                    one.kept[index] = frame.tokens_kept or 0
                    one.model_flops[index] = model.flops(frame.tokens_kept, grid)
            order.append(order.pop(0))
    patches, frames = grid[0] * grid[1], sum(map(len, batches))
    for name, one in found.items():
        one.plan_flops = frames * arms[name].flops(patches, model.patch_size)
    full = found["full"]
    return {
        name: {
            "kept_share": round(sum(one.kept.values()) / sum(full.kept.values()), 4),
            "ms_per_frame": round(one.seconds / frames * 1e3, 2),
            **ratios(one, full),
        }
        for name, one in found.items()
    }


def ratios(one: Measured, full: Measured) -> dict[str, float]:
    """Time and operations over those of the full model, without and with planning."""
    bare = (one.seconds - one.planning_s) / (full.seconds - full.planning_s), one.flops / full.flops
    whole = (
        one.seconds / full.seconds,
        (one.flops + one.plan_flops) / (full.flops + full.plan_flops),
    )
    return {
        "time": round(bare[0], 3),
        "flops": round(bare[1], 3),
        "time_to_flops": round(bare[0] / bare[1], 3),
        "time_with_planning": round(whole[0], 3),
        "flops_with_planning": round(whole[1], 3),
        "time_to_flops_with_planning": round(whole[0] / whole[1], 3),
        "planning": round(one.planning_s / full.seconds, 4),
    }


def show(console: Console, title: str, rows: dict[str, dict[str, float]]) -> None:
    columns = ("kept", "ms/frame", "time", "FLOPs", "time/FLOPs", "with planning", "planning")
    table = Table("tokenizer", *columns, title=title)
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row['kept_share']:.2f}",
            f"{row['ms_per_frame']:.1f}",
            f"{row['time']:.3f}",
            f"{row['flops']:.3f}",
            marked(row["time_to_flops"], MAX_TIME_TO_FLOPS),
            marked(row["time_to_flops_with_planning"], MAX_TIME_TO_FLOPS),
            marked(row["planning"], MAX_PLANNING),
        )
    console.print(table)


def marked(value: float, limit: float) -> str:
    return f"{value:.3f}" if value <= limit else f"[red]{value:.3f} misses[/red]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=16, help="frames per clip (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default %(default)s)")
    parser.add_argument("--model", choices=MODELS, action="append", help="only this model; may be repeated")
    parser.add_argument("--one-thread", action="store_true", help="CPU time of one thread")
    parser.add_argument("--quick", action="store_true", help="few frames; writes no file")
    options = parser.parse_args()
    frames, rounds = (8, 2) if options.quick else (options.frames, options.rounds)
    clock, name = time.perf_counter, "tokenizers"
    if options.one_thread:
        clock, name = time.thread_time, "tokenizers_one_thread"
        torch.set_num_threads(1)
        cv2.setNumThreads(1)
    console = Console(width=110)
    figures: dict[str, Any] = {"frames": frames, "rounds": rounds}
    for model_name in options.model or MODELS:
        model = load_model(model_name, MODELS[model_name])
        engine = Engine(model)
        for clip in CLIPS:
            decoded = sample_frames(clip, model.input)
            judged = decoded[WARMUP :: (len(decoded) - WARMUP) // frames][:frames]
            arms = tokenizers(model, decoded[:WARMUP])
            for size in BATCHES:
                batches = [judged[start : start + size] for start in range(0, frames, size)]
                title = f"{model_name}, {clip}, batch {size}"
                figures[title] = measure(engine, batches, arms, rounds, clock)
                show(console, title, figures[title])
    if not options.quick:
        console.print(f"written: {write_results(name, figures)}")


if __name__ == "__main__":
    main()
