"""What `vwt run` costs beside the work itself.

    python -m benchmarks.run_overhead [--quick]

Two comparisons, in turn, medians:

- `vwt run`, a process of its own that writes its results to a file, against the model alone: an engine on
  frames decoded beforehand, in the same batches. At least 0.95 of its frames per second, where the model is
  the bottleneck. The words of `inter` are learned beforehand for both.
- `vwt run --model null --tokenizer full`, results written to a file, against decoding and resizing alone: the
  same source and preprocessor in a plain loop. At least 0.85 of its frames per second. The clips are
  repeated, packet by packet, so that a run takes seconds.

A run's rate is that of its summary: frames over the time from the start of reading to the last result, with
everything loaded before.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.clips import repeated
from benchmarks.common import sample_frames, write_results
from pipeline.defaults import DEFAULT_BATCH, DEFAULT_MODEL, DEFAULT_WORDS
from pipeline.engine import Engine
from pipeline.input_spec import InputSpec
from pipeline.models import load_model
from pipeline.preprocess import Preprocessor
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.tokenizers import FullTokenizer, InterTokenizer, Tokenizer
from pipeline.warmup import learn_words

MIN_OF_MODEL = 0.95
MIN_OF_DECODING = 0.85
MODEL_FRAMES = 248
REPEATS = {"bikes": 28, "bunny": 12}

Rate = Callable[[], float]


def run_rate(folder: Path, source: str, *options: str) -> float:
    """Frames per second of `vwt run`."""
    summary = folder / "summary.json"
    command: list[str | Path] = [Path(sys.executable).with_name("vwt"), "run", source, "--quiet", *options]
    subprocess.run([*command, "--out", folder / "results.jsonl", "--json-summary", summary], check=True)
    rate: float = json.loads(summary.read_text())["fps"]
    return rate


def interleaved(run: Rate, alone: Rate, rounds: int) -> dict[str, float]:
    """Both rates, each the median of `rounds`, and their ratio, the median of the ratios of the rounds."""
    pairs = [(run(), alone()) for _ in range(rounds)]
    runs, alones = zip(*pairs, strict=True)
    return {
        "run_fps": round(statistics.median(runs), 2),
        "alone_fps": round(statistics.median(alones), 2),
        "ratio": round(statistics.median(a / b for a, b in pairs), 3),
    }


def against_model(folder: Path, frames: int, rounds: int) -> dict[str, Any]:
    """`vwt run` against the model alone on sample:bikes, with `full` and `inter`."""
    model = load_model()
    engine = Engine(model)
    decoded = sample_frames("bikes", model.input, limit=frames)
    assert model.patch_size is not None
    vocabulary = learn_words([f.image for f in decoded[:64]], model.input, model.patch_size, DEFAULT_WORDS)
    words = folder / "words.safetensors"
    vocabulary.save(words)

    def alone(tokenizer: Tokenizer) -> float:
        started = time.perf_counter()
        for start in range(0, len(decoded), DEFAULT_BATCH):
            engine.submit(decoded[start : start + DEFAULT_BATCH], tokenizer).result()
        return len(decoded) / (time.perf_counter() - started)

    def run(name: str) -> float:
        chosen = ("--tokenizer", name) + (("--vocab", str(words)) if name == "inter" else ())
        return run_rate(folder, "sample:bikes", "--max-frames", str(len(decoded)), *chosen)

    tokenizers: dict[str, Tokenizer] = {"full": FullTokenizer(), "inter": InterTokenizer(vocabulary)}
    return {
        f"{DEFAULT_MODEL}, {name}, bikes": interleaved(partial(run, name), partial(alone, tokenizer), rounds)
        for name, tokenizer in tokenizers.items()
    }


def against_decoding(folder: Path, clip: str, repeats: int, rounds: int) -> dict[str, float]:
    """`vwt run` of the null model against decoding and resizing alone."""
    path = repeated(clip, repeats, folder)

    def alone() -> float:
        source = open_source(parse_source(str(path)), SourceOptions(), lambda _: None)
        preprocess = Preprocessor(InputSpec(224, 224))
        started = time.perf_counter()
        count = sum(1 for decoded in source.frames() if preprocess(decoded.picture, decoded.display))
        return count / (time.perf_counter() - started)

    def run() -> float:
        return run_rate(folder, str(path), "--model", "null", "--tokenizer", "full")

    return interleaved(run, alone, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="repetitions (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few frames; writes no file")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        null = {
            f"null, {clip}": against_decoding(folder, clip, 3 if options.quick else repeats, rounds)
            for clip, repeats in REPEATS.items()
        }
        model = against_model(folder, 96 if options.quick else MODEL_FRAMES, rounds)
    table = Table("model, tokenizer, clip", "vwt run, frames/s", "alone, frames/s", "ratio", "at least")
    for title, rows, least in (
        ("against the model alone", model, MIN_OF_MODEL),
        ("against decoding alone", null, MIN_OF_DECODING),
    ):
        table.add_section()
        for row, figures in rows.items():
            missed = "" if figures["ratio"] >= least else " [red]misses[/red]"
            rates = (f"{figures['run_fps']:.1f}", f"{figures['alone_fps']:.1f}")
            table.add_row(f"{title}: {row}", *rates, f"{figures['ratio']:.3f}{missed}", f"{least:.2f}")
    console = Console(width=110)
    console.print(table)
    if not options.quick:
        figures = {"rounds": rounds, "against the model alone": model, "against decoding alone": null}
        console.print(f"written: {write_results('run_overhead', figures)}")


if __name__ == "__main__":
    main()
