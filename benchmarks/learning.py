"""How near, how fast, and by which distance words are learned; and what matching them costs.

    python -m benchmarks.learning [--quick]

- Quality: words are learned from 64 frames of a clip and judged on 64 others between them (patch size 16,
  224 x 224): mean cosine distance of a patch to its nearest word, at most 2 % above scikit-learn's
  MiniBatchKMeans, and the share of patch tokens that `inter` keeps at the default threshold. `euclidean` is
  what the paper does, by scikit-learn: in mini-batches and with full passes (KMeans). `minibatch, directions`
  is scikit-learn on patches of length 1, so that the distance is ours and only the algorithm differs.
- Relearning: 64 frames x 196 patches, 1,000 words, started from the words of the clip's first 64 frames. At
  most 1.5 s. `held_out_to_fresh` is the held-out distance over that of words learned from nothing.
- Matching: 196 patches a frame to 1,000 words against the forward pass of a ViT-S/16, at most 5 %.

CPU time of one thread, which other processes hardly change; relearning also in wall time, with torch's usual
number of threads. Medians of repetitions, arms in turn.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from sklearn.cluster import KMeans, MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch.nn.functional import normalize

from benchmarks.common import CLIPS, NEAR, sample_frames, write_results
from pipeline.defaults import DEFAULT_WORDS
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.input_spec import InputSpec
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer
from vocab.patches import patchify
from vocab.words import Vocabulary

MODEL, PATCH_SIZE = "vit_small_patch16_224", 16
FRAMES = 64
WORDS = (100, 1000)
MAX_TO_SCIKIT, MAX_RELEARN_S, MAX_MATCHING = 1.02, 1.5, 0.05

Learn = Callable[[torch.Tensor, int, int], torch.Tensor]


def ours(points: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """`Vocabulary.learn`."""
    return Vocabulary.learn(points, words, seed=seed).words


def minibatch(points: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """scikit-learn's defaults."""
    return torch.from_numpy(MiniBatchKMeans(words, random_state=seed).fit(points.numpy()).cluster_centers_)


def minibatch_directions(points: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """scikit-learn's defaults, on directions."""
    return minibatch(normalize(points, dim=1), words, seed)


def full_passes(points: torch.Tensor, words: int, seed: int) -> torch.Tensor:
    """As many passes as make a difference."""
    clustering = KMeans(words, n_init=1, max_iter=30, random_state=seed).fit(points.numpy())
    return torch.from_numpy(clustering.cluster_centers_)


ARMS: dict[str, Learn] = {
    "ours (spherical)": ours,
    "euclidean, minibatch": minibatch,
    "minibatch, directions": minibatch_directions,
    "euclidean, full passes": full_passes,
}
SCIKIT = "euclidean, minibatch"


def images_of(frames: list[Frame], spec: InputSpec) -> torch.Tensor:
    """Normalised pixels (B, 3, H, W) float32."""
    pixels = torch.stack([torch.from_numpy(frame.image) for frame in frames]).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    return (pixels - mean) / std


def points_of(images: torch.Tensor) -> torch.Tensor:
    """(M, 3*P*P)."""
    return patchify(images, PATCH_SIZE).flatten(0, 1)


def judge(words: torch.Tensor, images: torch.Tensor) -> tuple[float, float]:
    """Mean distance of the patches, and the share of tokens that `inter` keeps."""
    vocabulary = Vocabulary(words)
    distance = vocabulary.match(patchify(images, PATCH_SIZE)).distance.mean()
    kept = InterTokenizer(vocabulary).plan(images, PATCH_SIZE).kept
    return float(distance), float(kept.float().mean()) * PATCH_SIZE**2 / images[0, 0].numel()


def typical(runs: list[tuple[float, float, float]]) -> dict[str, float]:
    """The medians of distance, share kept and seconds."""
    distance, kept_share, cpu_s = map(statistics.median, zip(*runs, strict=True))
    return {"distance": distance, "kept_share": kept_share, "cpu_s": cpu_s}


def quality(frames: list[Frame], spec: InputSpec, rounds: int) -> dict[str, Any]:
    """Every arm on one clip, each seed in turn."""
    learned_from, held_out = (images_of(frames[start : 2 * FRAMES : 2], spec) for start in (0, 1))
    points = points_of(learned_from)
    found: dict[str, Any] = {}
    for words in WORDS:
        runs: dict[str, list[tuple[float, float, float]]] = {arm: [] for arm in ARMS}
        for seed in range(rounds):
            for arm, learn in ARMS.items():
                with threadpool_limits(1):
                    started = time.process_time()
                    learned = learn(points, words, seed)
                    seconds = time.process_time() - started
                runs[arm].append((*judge(learned, held_out), seconds))
        rows = {arm: typical(one) for arm, one in runs.items()}
        theirs = rows[SCIKIT]
        for row in rows.values():
            row["distance_to_scikit"] = row["distance"] / theirs["distance"]
            row["cpu_to_scikit"] = row["cpu_s"] / theirs["cpu_s"]
        found[f"V={words}"] = {
            arm: {name: round(value, 4) for name, value in row.items()} for arm, row in rows.items()
        }
    return found


def relearning(frames: list[Frame], spec: InputSpec, rounds: int) -> dict[str, float]:
    """A warm start on the later frames of a clip: seconds, and what it loses on held-out patches."""
    first = Vocabulary.learn(points_of(images_of(frames[:FRAMES], spec)), DEFAULT_WORDS)
    later = frames[-2 * FRAMES :]
    points, held_out = points_of(images_of(later[::2], spec)), images_of(later[1::2], spec)
    wall, cpu = [], []
    for _ in range(rounds):
        started, worked = time.perf_counter(), time.process_time()
        words = Vocabulary.learn(points, DEFAULT_WORDS, initial=first).words
        wall.append(time.perf_counter() - started)
        cpu.append(time.process_time() - worked)
    fresh = judge(Vocabulary.learn(points, DEFAULT_WORDS).words, held_out)[0]
    return {
        "patches": len(points),
        "wall_s": round(statistics.median(wall), 3),
        "cpu_s": round(statistics.median(cpu), 3),
        "held_out_to_fresh": round(judge(words, held_out)[0] / fresh, 3),
    }


def matching(frames: list[Frame], rounds: int) -> dict[str, Any]:
    """Milliseconds of CPU, one thread, of matching and of a full forward pass."""
    engine = Engine(load_model(MODEL, "random"))
    vocabulary = Vocabulary.learn(points_of(images_of(frames[:FRAMES], engine.model.input)), DEFAULT_WORDS)
    found = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for size in (1, 8):
        batch = frames[-size:]
        patches = patchify(images_of(batch, engine.model.input), PATCH_SIZE)
        match_s, forward_s = [], []
        for _ in range(10 * rounds):
            started = time.thread_time()
            vocabulary.match(patches)
            matched = time.thread_time()
            engine.submit(batch, FullTokenizer()).result()
            match_s.append(matched - started)
            forward_s.append(time.thread_time() - matched)
        match_ms, forward_ms = (1000 * statistics.median(times) for times in (match_s, forward_s))
        found[f"batch {size}"] = {
            "match_ms": round(match_ms, 2),
            "forward_ms": round(forward_ms, 2),
            "ratio": round(match_ms / forward_ms, 4),
        }
    torch.set_num_threads(threads)
    return found


def show(console: Console, figures: dict[str, Any]) -> None:
    def marked(value: float, limit: float) -> str:
        return f"{value:.3f}" if value <= limit else f"[red]{value:.3f} misses[/red]"

    table = Table("clip, V", "learned by", "distance", "to scikit-learn", "kept", "CPU s", "to scikit-learn")
    for clip, by_words in figures["quality"].items():
        for words, rows in by_words.items():
            table.add_section()
            for arm, row in rows.items():
                limit = MAX_TO_SCIKIT if ARMS[arm] is ours else math.inf
                nearness = f"{row['distance']:.4f}", marked(row["distance_to_scikit"], limit)
                values = (*nearness, f"{row['kept_share']:.3f}")
                table.add_row(
                    f"{clip}, {words}", arm, *values, f"{row['cpu_s']:.2f}", f"{row['cpu_to_scikit']:.2f}"
                )
    console.print(table)
    for clip, row in figures["relearning"].items():
        console.print(f"relearning, {clip}: wall {marked(row['wall_s'], MAX_RELEARN_S)} s, {row}")
    for size, row in figures["matching"].items():
        console.print(f"matching, {size}: ratio {marked(row['ratio'], MAX_MATCHING)}, {row}")


def main() -> None:
    """Prints the figures and writes benchmarks/results/learning.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="one clip, once; writes no file")
    options = parser.parse_args()
    clips, rounds = (CLIPS[-1:], 1) if options.quick else (CLIPS, options.rounds)
    spec = load_model(MODEL, "random").input
    frames = {clip: sample_frames(clip, spec) for clip in clips}
    figures: dict[str, Any] = {
        "rounds": rounds,
        "threshold": NEAR,
        "quality": {clip: quality(frames[clip], spec, rounds) for clip in clips},
        "relearning": {clip: relearning(frames[clip], spec, max(rounds, 5)) for clip in clips},
        "matching": matching(frames[clips[0]], rounds),
    }
    console = Console(width=110)
    show(console, figures)
    if not options.quick:
        console.print(f"written: {write_results('learning', figures)}")


if __name__ == "__main__":
    main()
