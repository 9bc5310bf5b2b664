"""Whether a long `vwt run` grows.

    python -m benchmarks.memory [--quick]

`vwt run` runs, as a process of its own, on sample:bikes repeated without a break: the null model on 5,000
frames, without and with everything it can write, and the bundled model with `inter` on 1,500. The resident
memory of the process, code of libraries included, is read twenty times a second. `growth` is the most it has
in the last tenth of the run over the most it had in the tenth that follows 500 frames, at most 50 MB: the
most of both, because within every batch it rises and falls by some 35 MB. When 500 frames were through is
reckoned from the duration in the run's summary.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.clips import repeated
from benchmarks.common import write_results

SETTLED_FRAMES = 500
MAX_GROWTH_MB = 50
CLIP_FRAMES = 250
INTERVAL_S = 0.05


def measure(folder: Path, frames: int, *options: str) -> dict[str, Any]:
    """Resident memory of one run in MB."""
    clip = repeated("bikes", -(-frames // CLIP_FRAMES), folder)
    summary = folder / "summary.json"
    command: list[str | Path] = [
        Path(sys.executable).with_name("vwt"),
        "run",
        clip,
        "--quiet",
        "--max-frames",
        str(frames),
    ]
    run = subprocess.Popen([*command, *options, "--json-summary", summary], cwd=folder)
    process, samples = psutil.Process(run.pid), []
    while run.poll() is None:
        samples.append((time.monotonic(), process.memory_info().rss / 1e6))
        time.sleep(INTERVAL_S)
    if run.returncode:
        raise SystemExit(f"vwt run ended with {run.returncode}")
    told = json.loads(summary.read_text())
    assert told["frames"] == frames
    # A process that has ended but was not waited for has no memory: such a sample does not count.
    samples = [sample for sample in samples if sample[1]]
    ended_at, tenth = samples[-1][0], told["wall_s"] / 10
    settled_at = ended_at - told["wall_s"] * (1 - SETTLED_FRAMES / frames)
    after_500 = max(mb for at, mb in samples if settled_at <= at <= settled_at + tenth)
    end = max(mb for at, mb in samples if at >= ended_at - tenth)
    return {
        "frames": frames,
        "fps": told["fps"],
        "after_500_mb": round(after_500, 1),
        "end_mb": round(end, 1),
        "growth_mb": round(end - after_500, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer frames; writes no file")
    quick = parser.parse_args().quick
    null = ("--model", "null", "--tokenizer", "full")
    files = ("--out", "results.jsonl", "--annotate", "annotated.mp4")
    runs = {
        "null": (2000 if quick else 5000, null),
        "null, --out, --annotate": (2000 if quick else 5000, (*null, *files)),
        "bundled model, inter, --out, --annotate": (600 if quick else 1500, files),
    }
    console = Console(width=110)
    table = Table("run", "frames", "frames/s", "after 500, MB", "end, MB", "growth, MB")
    figures = {}
    for name, (frames, options) in runs.items():
        with tempfile.TemporaryDirectory() as folder:
            row = figures[name] = measure(Path(folder), frames, *options)
        missed = "" if row["growth_mb"] <= MAX_GROWTH_MB else " [red]misses[/red]"
        columns = ("frames", "fps", "after_500_mb", "end_mb", "growth_mb")
        *cells, growth = (f"{row[key]}" for key in columns)
        table.add_row(name, *cells, f"{growth}{missed}")
    console.print(table)
    if not quick:
        console.print(f"written: {write_results('memory', figures)}")


if __name__ == "__main__":
    main()
