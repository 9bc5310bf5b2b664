"""What the type costs in which `recall` keeps keys and values.

    python -m benchmarks.caches [CLIP ...] [--precision fp32]

Names of sample clips or paths; all sample clips where none is named. The bundled model in torch (bfloat16
where not said otherwise), native 224 px, 5 frames/s, one frame at a time. Per clip and type:

- mb: what a stream keeps, all of it.
- to_fp32: mean and 5th percentile of the cosine of its answers to those with a cache in float32; to_full the
  same to answers of the plain model. A stream decides by what it sees, so that single frames may be decided
  otherwise.
- runs: CPU time of a pass of so many patches, as a ratio to the same pass with a cache in bfloat16: median
  over frames of ratios that lie side by side, with quartiles. One thread, if OMP_NUM_THREADS=1 says so.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import CLIPS, sample_frames, write_results
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.models.positions import Place
from pipeline.tokenizers import FullTokenizer, RecallTokenizer
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stateful import Decided, Memory, Ran, Run, StatefulTokenizer

TYPES = TOKENIZERS["recall"].options["cache"].choices
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "int8": torch.int8}
FRAMES, RUNS = 60, (16, 64, 128)


class _Always(StatefulTokenizer):
    """Runs the same patches of every frame."""

    name = "always"

    def __init__(self, count: int, cache: str) -> None:
        self._count = count
        self._memory = Memory(DTYPES[cache])

    def answer(self, frame: Frame, place: Place, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:  # noqa: ARG002
        rows = torch.arange(self._count) if self.bytes else None
        yield Run(self._memory, rows)
        return Decided("recall", self._memory, torch.zeros(len(patches), dtype=torch.uint8), self._count, 0)

    def checked(self, patches: torch.Tensor, ran: Ran) -> None:
        """There is nothing to learn."""

    @property
    def bytes(self) -> int:
        return self._memory.bytes

    def forget(self) -> None:
        raise NotImplementedError


def measure(clip: str, engine: Engine) -> dict[str, Any]:
    """All figures of one clip, by type."""
    frames = sample_frames(clip, engine.model.inputs.spec(DEFAULT_MODEL, None, None), 5.0, FRAMES)
    streams = {name: RecallTokenizer(cache=name) for name in TYPES}
    answers = {name: _answers(engine, frames, stream) for name, stream in streams.items()}
    full = _answers(engine, frames, FullTokenizer())
    ratios = {count: _ratios(engine, frames, count) for count in RUNS}
    return {
        name: {
            "mb": round(streams[name].bytes / 1e6, 2),
            "to_fp32": _cosine(answers[name], answers["fp32"]),
            "to_full": _cosine(answers[name], full),
            "runs": {count: ratios[count][name] for count in RUNS},
        }
        for name in TYPES
    }


def _answers(engine: Engine, frames: Sequence[Frame], tokenizer: Tokenizer | StatefulTokenizer) -> np.ndarray:
    outputs = [engine.submit([frame], tokenizer).result().frames[0] for frame in frames]
    return np.array([output.prediction.embedding for output in outputs])


def _cosine(some: np.ndarray, others: np.ndarray) -> dict[str, float]:
    lengths = np.linalg.norm(some, axis=1) * np.linalg.norm(others, axis=1)
    cosine = (some * others).sum(axis=1) / lengths
    return {"mean": round(float(cosine.mean()), 5), "p5": round(float(np.quantile(cosine, 0.05)), 5)}


def _ratios(engine: Engine, frames: Sequence[Frame], count: int) -> dict[str, list[float]]:
    """Quartiles of the CPU time of a frame, by type, over that of bf16."""
    streams = {name: _Always(count, name) for name in TYPES}
    spent: dict[str, list[float]] = {name: [] for name in TYPES}
    for number, frame in enumerate(frames):
        # Nobody is always first.
        order = [TYPES[(number + place) % len(TYPES)] for place in range(len(TYPES))]
        for name in order:
            began = time.process_time()
            engine.answer([([frame], streams[name])])
            spent[name].append(time.process_time() - began)
    ratios = {name: np.array(spent[name][1:]) / spent["bf16"][1:] for name in TYPES}
    return {
        name: [round(float(np.quantile(ratio, q)), 3) for q in (0.25, 0.5, 0.75)]
        for name, ratio in ratios.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clips", nargs="*", default=CLIPS)
    parser.add_argument("--precision", default="bf16")
    given = parser.parse_args()
    model = load_model(DEFAULT_MODEL, embedding=True, precision=given.precision, runtime="torch")
    engine = Engine(model)
    console = Console(width=140)
    figures = {}
    with torch.inference_mode():
        for clip in given.clips:
            table = Table(
                "type", "MB", "to fp32: mean, p5", "to full: mean, p5", *(f"{n} patches" for n in RUNS)
            )
            figures[clip] = measure(clip, engine)
            for name, row in figures[clip].items():
                near = [
                    f"{row[other]['mean']:.4f}, {row[other]['p5']:.4f}" for other in ("to_fp32", "to_full")
                ]
                runs = [f"{middle} ({low}-{high})" for low, middle, high in row["runs"].values()]
                table.add_row(name, f"{row['mb']}", *near, *runs)
            console.print(clip, table)
    console.print(f"written: {write_results('caches', {'precision': given.precision, 'clips': figures})}")


if __name__ == "__main__":
    main()
