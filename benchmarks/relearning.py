"""What a frame waits while words are learned again beside it: latency with and without, CPU.

    python -m benchmarks.relearning [--quick]

The parts are those of `vwt run` on a camera: a window in memory with the default 16,384 patches, a keeper and
a follower in threads of their own, `inter` with 1,000 words. Frames come one at a time, each due twice the
typical frame time after the one before, so that the machine is half idle; latency is from when a frame is
due to its result. One arm relearns without a pause, which no default allows, and counts the frames during
which a learning was under way; the other arm never relearns. The arms take turns; the ratio is the median of
those of the rounds. Wall time: it needs a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import threading
import time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import INTER, NEAR, sample_frames, write_results
from pipeline.defaults import DEFAULT_WORDS
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.living import LivingWords
from pipeline.models import load_model
from pipeline.stream import StreamState
from pipeline.tokenizers.stream import StreamNeeds
from pipeline.warmup import WordLearner, learn_words
from vocab.follower import VocabularyFollower
from vocab.keeper import KeeperOptions, VocabularyKeeper
from vocab.lease import MemoryLease
from vocab.store import MemoryStore
from vocab.window import MemoryWindow, Patches, PatchSampler, WindowOptions

MODELS = {"dinov2_vits14_saliency": None, "vit_small_patch16_224": "random"}
CLIP = "bikes"
WINDOW = WindowOptions()
MAX_RATIO = 1.3
ARMS = {"without": math.inf, "relearning": 0.0}
_WARM_FRAMES = 10


class Camera:
    """A stream whose scope has a full window and words, and what runs beside it.

    Args:
        engine: predicts.
        frames: shown over and over.
    """

    def __init__(self, engine: Engine, frames: list[Frame]) -> None:
        spec, patch_size = engine.model.input, engine.model.patch_size
        assert patch_size is not None
        self._engine = engine
        self._frames = frames
        self._patch_size = patch_size
        self._scale = spec.normalisation
        self._window = _ReadNoting(WINDOW, patch_size)
        self._store = MemoryStore(patch_size)
        self._lease = MemoryLease()
        sampler = PatchSampler(WINDOW, patch_size)
        for number in range(WINDOW.max_frames(patch_size)):
            patches = sampler.take(frames[number % len(frames)].image, number / WINDOW.frames_per_s)
            assert patches is not None
            self._window.add(patches)
        first = learn_words([frame.image for frame in frames[:64]], spec, patch_size, DEFAULT_WORDS)
        fence = self._lease.acquire()
        assert fence is not None
        self._store.publish(first, fence)
        self._lease.release()

    def show(self, count: int, period_s: float, relearn_after_s: float) -> tuple[list[float], list[float]]:
        """Runs frames that are due every `period_s` seconds.

        Returns:
            Milliseconds from due to done of every frame that a learning (in the arm that learns) was under
            way in, and the seconds every learning took.
        """
        learnings: list[tuple[float, float]] = []
        keeper = VocabularyKeeper(
            self._window,
            self._store,
            self._lease,
            self._scale,
            KeeperOptions(
                words=DEFAULT_WORDS,
                near=NEAR,
                check_every_s=0.05,
                relearn_after_s=relearn_after_s,
                rest_s=0.0,
            ),
            lambda _: learnings.append((self._window.read_at, time.perf_counter())),
        )
        learner = WordLearner(
            self._engine.model.input,
            self._patch_size,
            DEFAULT_WORDS,
            64,
            wait=False,
            device=torch.device("cpu"),
        )
        living = LivingWords(
            PatchSampler(WINDOW, self._patch_size),
            self._window,
            keeper,
            VocabularyFollower(self._store),
            learner,
        )
        spans = []
        never = threading.Event()
        with living as words:
            state = StreamState(CLIP, INTER, INTER.open({}, StreamNeeds(words)))
            due = time.perf_counter()
            for number in range(count + _WARM_FRAMES):
                never.wait(max(0.0, due - time.perf_counter()))
                batch = [self._frames[number % len(self._frames)]]
                self._engine.submit_parts([state.part(batch)]).result()
                spans.append((due, time.perf_counter()))
                due += period_s
        counted = spans[_WARM_FRAMES:]
        if relearn_after_s == 0:
            counted = [
                (start, end)
                for start, end in counted
                if any(began < end and start < ended for began, ended in learnings)
            ]
        return [1000 * (end - start) for start, end in counted], [end - start for start, end in learnings]


class _ReadNoting(MemoryWindow):
    """A window that notes when it was last read, which is when a learning begins."""

    read_at = 0.0

    def read(self) -> Patches:
        self.read_at = time.perf_counter()
        return super().read()


def typical_s(camera: Camera) -> float:
    """Seconds a frame takes with nothing beside it and no pause between frames."""
    # All due at once, each is done as much later than the one before as it took.
    since_due, _ = camera.show(40, 0.0, math.inf)
    return float(np.median(np.diff(since_due))) / 1000


def measure(name: str, weights: str | None, frames: int, rounds: int) -> dict[str, Any]:
    """Latencies of both arms."""
    engine = Engine(load_model(name, weights))
    camera = Camera(engine, sample_frames(CLIP, engine.model.input))
    period_s = 2 * typical_s(camera)
    latencies: dict[str, list[list[float]]] = {arm: [] for arm in ARMS}
    learn_s: list[float] = []
    for number in range(rounds):
        for arm in list(ARMS)[:: 1 if number % 2 == 0 else -1]:
            found, took = camera.show(frames, period_s, ARMS[arm])
            if not found:
                # At the lowest priority, learning gets nothing of cores that others keep busy.
                raise SystemExit(
                    "no learning ended in a round: other work has the cores; run it when they are free"
                )
            latencies[arm].append(found)
            learn_s += took
    rows: dict[str, Any] = {
        arm: {
            "frames": sum(map(len, found)),
            **{f"p{q}_ms": percentile(found, q) for q in (50, 99)},
            "p99_ms_per_round": [round(float(np.percentile(one, 99)), 1) for one in found],
        }
        for arm, found in latencies.items()
    }
    ratios = {f"p{q}_ratio": ratio(latencies, q) for q in (50, 99)}
    learned = {"relearnings": len(learn_s), "relearning_s": round(statistics.median(learn_s), 2)}
    return {"period_ms": round(1000 * period_s, 1), **rows, **ratios, **learned}


def ratio(latencies: dict[str, list[list[float]]], q: int) -> float:
    """Relearning over without: the median of the ratios of the rounds."""
    without, relearning = ([np.percentile(one, q) for one in latencies[arm]] for arm in ARMS)
    return round(float(np.median(np.divide(relearning, without))), 3)


def percentile(rounds: list[list[float]], q: int) -> float:
    """Of all frames of all rounds, in milliseconds."""
    return round(float(np.percentile(np.concatenate(rounds), q)), 2)


def main() -> None:
    """Measures both models and writes benchmarks/results/relearning.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=250, help="per arm and round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="repetitions (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few frames; writes no file")
    options = parser.parse_args()
    frames, rounds = (60, 2) if options.quick else (options.frames, options.rounds)
    figures: dict[str, Any] = {"clip": CLIP, "load_average_before": round(os.getloadavg()[0], 2)}
    columns = ("due every, ms", "p50 without", "p50 relearning", "p99 without", "p99 relearning", "p99 ratio")
    table = Table("model", *columns, "a relearning, s")
    for name, weights in MODELS.items():
        figures[name] = row = measure(name, weights, frames, rounds)
        cells = [row["period_ms"], *(row[arm][p] for p in ("p50_ms", "p99_ms") for arm in ARMS)]
        missed = "" if row["p99_ratio"] <= MAX_RATIO else " [red]misses[/red]"
        table.add_row(name, *map(str, cells), f"{row['p99_ratio']:.2f}{missed}", str(row["relearning_s"]))
    console = Console(width=110)
    console.print(table)
    if not options.quick:
        console.print(f"written: {write_results('relearning', figures)}")


if __name__ == "__main__":
    main()
