"""Whether what recall does not compute is time saved, and what a fixed camera then costs.

    python -m benchmarks.recall_time --clip FILE [shares] [cameras] [--precision bf16] [--quick]

All of it is CPU time of one process with one thread, which other processes hardly change, in turn: every
ratio is of two times taken next to each other. Given are the median and the range over rounds. Decoding and
resizing are not counted, and stated.

- shares: frames of which a share of the positions runs (a thing that moves is a disc somewhere), alone and as
  eight streams in one pass, over frames that the same model runs in full the same way. The share of
  operations is what `FrameResult.share` says; the pictures stand still, so that nothing is decoded anew. At
  most 1.25 times that share + .15 alone, 1.15 times + .03 for eight; a held frame, decided by the rule
  itself, at most .02.
- cameras: a fixed camera through `recall`, alone and as eight copies at different offsets in one pass,
  against timm's own forward pass and the decoder in float32 on the same frames: at most .10 alone and .05 of
  eight, at a 5th percentile of the cosine of .98. First frames, which run in full, are left out.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

from benchmarks.common import sample_frames, write_results
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.models.focus import load_focus
from pipeline.models.positions import Place, Positions
from pipeline.reading import FrameOutput
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer
from pipeline.tokenizers.recall import RecallTokenizer
from pipeline.tokenizers.stateful import Decided, Memory, Ran, Run, StatefulTokenizer
from pipeline.tokenizers.states import INTACT

FPS = 5
SHARES = (1.0, 0.7, 0.4, 0.25, 0.15, 0.1, 0.05, 0.0)
STREAMS = 8
# Factor and addend of what a share of operations may take in time, by streams in a pass.
LIMITS = {1: (1.25, 0.15), STREAMS: (1.15, 0.03)}
HELD_LIMIT = 0.02
CAMERA_LIMITS = {1: 0.10, STREAMS: 0.05}
TARGET = 0.98
# Frames from one copy of a camera to the next, and steps of a round.
OFFSET, ROUND = 12, 16


class Given(StatefulTokenizer):
    """Runs a share of the positions of each frame, whatever it shows."""

    name = "given"

    def __init__(self, share: float, seed: int) -> None:
        self._share = share
        self._random = random.Random(seed)
        self._memory: Memory | None = None

    @property
    def bytes(self) -> int:
        return 0

    def forget(self) -> None:
        self._memory = None

    def checked(self, patches: torch.Tensor, ran: Ran) -> None:
        """There is nothing to learn."""

    def answer(self, frame: Frame, place: Place, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:  # noqa: ARG002
        memory, rows = self._memory, None
        if memory is None:
            memory = self._memory = Memory(torch.bfloat16)
        elif self._share < 1:
            rows = self._disc(place)
        yield Run(memory, rows)
        states = torch.full((place.patches,), INTACT, dtype=torch.uint8)
        return Decided("recall", memory, states, place.patches if rows is None else len(rows), 0)

    def _disc(self, place: Place) -> torch.Tensor:
        """The positions nearest to some place of the picture."""
        rows, columns = place.grid
        row, column = self._random.random() * rows, self._random.random() * columns
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        far = ((y + 0.5 - row) ** 2 + (x + 0.5 - column) ** 2).flatten()
        return far.argsort()[: round(self._share * place.patches)].sort().values


class Timed:
    """Runs batches and notes what they took."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, frames: Sequence[Frame], tokenizers: Sequence[Any]) -> tuple[float, list[FrameOutput]]:
        """CPU seconds per frame, and the outputs."""
        parts = [Part([frame], tokenizer) for frame, tokenizer in zip(frames, tokenizers, strict=True)]
        return timed(lambda: list(self._engine.submit_parts(parts).result().frames), len(frames))


def timed(run: Callable[[], Any], frames: int = 1) -> tuple[float, Any]:
    """CPU seconds per frame, and what came out."""
    start = time.process_time()
    made = run()
    return (time.process_time() - start) / frames, made


def shares(frames: Sequence[Frame], precision: str, runtime: str, rounds: int) -> dict[str, Any]:
    """Time over operations, by share of the positions and streams in a pass."""
    run = Timed(Engine(load_model(precision=precision, runtime=runtime)))
    figures: dict[str, Any] = {}
    for streams in LIMITS:
        full = [FullTokenizer()] * streams
        arms: dict[str, list[StatefulTokenizer]] = {
            f"{share:g}": [Given(share, seed) for seed in range(streams)] for share in SHARES if share
        }
        arms["held"] = [RecallTokenizer() for _ in range(streams)]
        ratios: dict[str, list[float]] = {name: [] for name in arms}
        operations: dict[str, list[float]] = {name: [] for name in arms}
        some = list(frames[:streams])
        for tokenizers in arms.values():
            run(some, tokenizers)
            run(some, tokenizers)
        run(some, full)
        for _ in range(rounds):
            for name, tokenizers in arms.items():
                base = run(some, full)[0]
                spent, outputs = run(some, tokenizers)
                ratios[name].append(2 * spent / (base + run(some, full)[0]))
                operations[name].append(statistics.fmean(one.share or 0.0 for one in outputs))
        factor, addend = LIMITS[streams]
        for name, found in ratios.items():
            share = statistics.fmean(operations[name])
            limit = HELD_LIMIT if name == "held" else factor * share + addend
            figures[f"{name}, {streams}"] = {"operations": round(share, 3), **spread(found), "limit": limit}
    return figures


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return {"time": round(float(middle), 4), "from": round(float(low), 4), "to": round(float(high), 4)}


class PlainTimm:
    """timm's own forward pass in float32 and the decoder behind it, on frames of one size."""

    def __init__(self, like: Frame) -> None:
        self._backbone: Any
        self._backbone, self._decoder, learned = load_focus()
        place = Place.of(like, self._backbone.patch_embed.patch_size[0])
        positions = Positions(self._backbone, learned, antialias=False).added(place)
        own = self._backbone.pos_embed[:, :1]
        self._backbone.set_input_size(img_size=like.image.shape[:2])
        self._backbone.pos_embed = nn.Parameter(torch.cat([own, positions[None]], dim=1))
        self._grid = place.grid

    @torch.inference_mode()
    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W) normalised -> class token (C,)."""
        tokens = self._backbone.forward_features(image)
        self._decoder(tokens[:, 1:].transpose(1, 2).unflatten(2, self._grid))
        pooled: torch.Tensor = self._backbone.forward_head(tokens, pre_logits=True)
        return pooled[0]


def cameras(
    clip: str, frames: Sequence[Frame], precision: str, runtime: str, target: float, decode_s: float
) -> dict[str, Any]:
    """A fixed camera alone, and eight of them, against plain timm."""
    engine = Engine(load_model(precision=precision, runtime=runtime, embedding=True))
    plain, run = PlainTimm(frames[0]), Timed(engine)
    images = [engine.normalise(torch.from_numpy(frame.image[None])) for frame in frames]
    truth = [plain(image) for image in images]
    steps = len(frames) - (STREAMS - 1) * OFFSET
    figures: dict[str, Any] = {"clip": clip, "frames": STREAMS * (steps - 1)}
    tokenizers = {count: [RecallTokenizer(target) for _ in range(count)] for count in (1, STREAMS)}
    spent: dict[int, list[float]] = {1: [], STREAMS: []}
    cosines: dict[int, list[float]] = {1: [], STREAMS: []}
    found: dict[int, list[FrameOutput]] = {1: [], STREAMS: []}
    base = []
    for step in range(steps):
        plain_s = timed(partial(plain, images[step]))[0]
        for streams, own in tokenizers.items():
            numbers = [step + OFFSET * camera for camera in range(streams)]
            seconds, outputs = run([frames[number] for number in numbers], own)
            if step == 0:
                continue
            spent[streams].append(seconds)
            found[streams] += outputs
            for number, output in zip(numbers, outputs, strict=True):
                answer = torch.tensor(output.prediction.embedding)
                cosines[streams].append(float(F.cosine_similarity(answer, truth[number], dim=0)))
        if step:
            base.append(plain_s)
    for streams in tokenizers:
        rounds = [
            sum(spent[streams][start : start + ROUND]) / sum(base[start : start + ROUND])
            for start in range(0, len(base) - ROUND + 1, ROUND)
        ]
        decided = Counter(output.decision for output in found[streams])
        figures[f"{streams} in a pass"] = {
            **spread(rounds),
            "limit": CAMERA_LIMITS[streams],
            "with_decoding": round((sum(spent[streams]) / len(base) + decode_s) / statistics.fmean(base), 4),
            "cosine_p5": round(float(np.quantile(cosines[streams], 0.05)), 4),
            "operations": round(statistics.fmean(output.share or 0.0 for output in found[streams]), 4),
            "decisions": {str(name): count for name, count in decided.most_common()},
        }
    return figures


def show(console: Console, title: str, rows: dict[str, Any]) -> None:
    table = Table("", "operations", "time", "quartiles", "limit", "", title=title)
    for name, row in rows.items():
        if not isinstance(row, dict):
            continue
        rest = f"p5 {row['cosine_p5']}, with decoding {row['with_decoding']}" if "cosine_p5" in row else ""
        mark = "" if row["time"] <= row["limit"] else " [red]misses[/red]"
        table.add_row(
            name,
            f"{row['operations']:.3f}",
            f"{row['time']:.4f}{mark}",
            f"{row['from']:.4f} .. {row['to']:.4f}",
            f"{row['limit']:.3f}",
            rest,
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="shares, cameras; both by default")
    parser.add_argument("--clip", required=True, help="of a fixed camera, 20 seconds or more")
    parser.add_argument("--precision", action="append", help="may be repeated (default fp32, bf16)")
    parser.add_argument("--runtime", default="torch", help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=15, help="of shares (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few frames; writes no file")
    parser.add_argument(
        "--target", type=float, action="append", help="of cameras; may be repeated (default 0.98)"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    limit = (STREAMS - 1) * OFFSET + 2 * ROUND if options.quick else None
    spec = load_model(precision="fp32", runtime="torch").input
    decoding_s, frames = timed(lambda: sample_frames(options.clip, spec, FPS, limit))
    console = Console(width=110)
    figures: dict[str, dict[str, Any]] = {}
    for precision in options.precision or ["fp32", "bf16"]:
        name = f"{precision} in {options.runtime}"
        if "shares" in (options.parts or ["shares"]):
            rounds = 5 if options.quick else options.rounds
            found = shares(frames, precision, options.runtime, rounds)
            show(console, f"{name}: share of positions, streams in a pass", found)
            figures[name] = {"shares": found}
        for target in options.target or [TARGET]:
            if "cameras" not in (options.parts or ["cameras"]):
                continue
            args = (options.clip.rsplit("/", 1)[-1], frames, precision, options.runtime, target)
            found = cameras(*args, decoding_s / len(frames))
            show(console, f"{name}, target {target}: over plain timm in float32", found)
            console.print_json(data=found)
            figures[f"{name}, target {target}"] = {"cameras": found}
    if not options.quick:
        console.print(f"written: {write_results('recall_time', figures)}")


if __name__ == "__main__":
    main()
