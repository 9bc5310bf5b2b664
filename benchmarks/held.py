"""Is a promise held where frames are lost? The streams of `benchmarks.live_guard` in replay.

    python -m benchmarks.held [STREAM ...] [--lost 0 0.3 0.6] [--fps 1 2.5 5] [--minutes 2] [--target 0.98]

The clips are looped as a service loops them, without one; frames are lost at random, before anything sees
them. What is left goes through the watch of the product (recall, audits, guard; `--audit 0` for recall alone)
and every answer is held against that of `full`. Per stream, rate and loss:

- p5, missed: of all answers; `first` the same of the first 16 and `quarters` of each quarter of the run;
- longest: the most answers in a row that miss;
- operations: mean share of those of `full`, and `checks` what all looks cost of what was spent;
- said: what the stream's audits say of the share that misses, with bounds, and how many there were;
- decisions: how often each way was taken, and `by` the share of its answers that miss;
- guard: what it did at the end, and `full` the share of answers that ran in full.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.common import write_results
from benchmarks.live_guard import RATE, clips, shown
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.guard.guarded import Guarded
from pipeline.guard.promise import Promise, Watch
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds

# Answers by which a stream begins.
_FIRST = 16


class Clip:
    """A clip, with the answers of `full` to its frames as they are asked for."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self.frames = shown(engine, path)
        self._engine = engine
        self._full: dict[int, npt.NDArray[np.float64]] = {}

    def cosine(self, row: int, given: Sequence[float]) -> float:
        """Of an answer to a frame to that of `full`."""
        if row not in self._full:
            (output,) = self._engine.submit([self.frames[row]], FullTokenizer()).result().frames
            self._full[row] = np.asarray(output.prediction.embedding, np.float64)
        a, b = np.asarray(given, np.float64), self._full[row]
        return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def seen(clip: Clip, fps: float, lost: float, minutes: float, seed: int) -> Iterator[tuple[int, Frame]]:
    """The frames that are left, with their rows in the clip."""
    chance = np.random.default_rng(seed)
    for number in range(round(60 * minutes * fps)):
        at = round(number * RATE / fps)
        row = at % len(clip.frames)
        if chance.random() >= lost:
            frame = clip.frames[row]
            yield row, replace(frame, times=replace(frame.times, pts_s=at / RATE))


def replay(engine: Engine, clip: Clip, asked: argparse.Namespace, fps: float, lost: float) -> dict[str, Any]:
    """One run; see the module."""
    kind = kind_of("recall")
    options = kind.check({"target": asked.target})
    promise = Promise(asked.target) if asked.audit else None
    watch = Watch(audit=asked.audit, promise=promise, seed=asked.seed)
    stream = Guarded(kind, options, kind.open(options, StreamNeeds()), watch)
    cosines, shares, decisions = [], [], []
    for row, frame in seen(clip, fps, lost, asked.minutes, asked.seed):
        part = stream.part([frame])
        (output,) = stream.hear(part, engine.submit_parts([part]).result().frames)
        assert output.prediction.embedding is not None
        assert output.share is not None
        cosines.append(clip.cosine(row, output.prediction.embedding))
        shares.append(output.share)
        decisions.append(str(output.decision))
    cosine = np.asarray(cosines)
    missed = cosine < asked.target
    counts = Counter(decisions)
    return {
        "fps": fps,
        "lost": lost,
        "answers": len(cosine),
        **_held(cosine, asked.target),
        "first": list(_held(cosine[:_FIRST], asked.target).values()),
        "quarters": [list(_held(part, asked.target).values()) for part in np.array_split(cosine, 4)],
        "longest": max((len(list(run)) for misses, run in groupby(missed) if misses), default=0),
        "operations": round(float(np.mean(shares)), 3),
        "full": round(float(np.mean([share > 0.95 for share in shares])), 3),
        "checks": stream.fidelity.share and round(stream.fidelity.share, 4),
        "said": stream.fidelity.missed.to_dict(),
        "audited": stream.fidelity.audits,
        "decisions": dict(counts),
        "by": {
            name: round(float(missed[[one == name for one in decisions]].mean()), 3)
            for name in sorted(counts)
        },
        "guard": None if stream.guard is None else stream.guard.to_dict(),
    }


def _held(cosine: npt.NDArray[np.float64], target: float) -> dict[str, float]:
    p5, missed = float(np.quantile(cosine, 0.05)), float((cosine < target).mean())
    return {"p5": round(p5, 4), "missed": round(missed, 4)}


def main() -> None:
    """Replays, prints, writes benchmarks/results/held.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("streams", nargs="*", default=["hostile"])
    parser.add_argument("--lost", type=float, nargs="+", default=[0.0, 0.3, 0.6])
    parser.add_argument("--fps", type=float, nargs="+", default=[1.0, 2.5, 5.0])
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--target", type=float, default=0.98)
    parser.add_argument("--audit", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    engine = Engine(load_model(DEFAULT_MODEL, embedding=True, precision="fp32", runtime="torch"))
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as name:
        paths = clips(Path(name))
        for stream in asked.streams:
            clip, found[stream] = Clip(engine, paths[stream]), []
            for fps in asked.fps:
                for lost in asked.lost:
                    found[stream].append(replay(engine, clip, asked, fps, lost))
                    Console().print_json(json.dumps({stream: found[stream][-1]}), indent=None)
    write_results("held", {**vars(asked), "streams": found})


if __name__ == "__main__":
    main()
