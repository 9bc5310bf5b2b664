"""More frames than a machine takes: how evenly they are sampled, and how old results are.

    python -m benchmarks.overload [--seconds 60] [--tokenizer full]

The three sample clips at once at 25 frames/s each, as cameras give them (`realtime`, frames that are late are
dropped), through a real `vwt serve` on an embedded Redis with the bundled model. Of the results of the last
`--seconds`, per clip:

- spacing: coefficient of variation of the presentation time between results; at most 0.35;
- latency: median of the total latency over streams * time of a frame, where the time of a frame is that of
  the device over the frames of all streams; at most 2;
- share: frames that got a result.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.clips import repeated
from benchmarks.common import CLIPS, write_results
from tests.survival.service import Service

_SETTLING_S = 20.0


def overload(folder: Path, seconds: float, tokenizer: str) -> dict[str, Any]:
    """See the module."""
    service = Service(folder, {"kept_results": 100_000})
    try:
        streams = [
            service.add(
                repeated(clip, 2, folder),
                name=clip,
                loop=True,
                realtime=True,
                policy="drop-oldest",
                tokenizer=tokenizer,
            )
            for clip in CLIPS
        ]
        tails = {stream: service.tail(stream) for stream in streams}
        for tail in tails.values():
            tail.more(1, within_s=120)
        time.sleep(_SETTLING_S)
        begun = {stream: len(tail.results) for stream, tail in tails.items()}
        time.sleep(seconds)
        results = {stream: tail.results[begun[stream] :] for stream, tail in tails.items()}
        for tail in tails.values():
            tail.stop()
    finally:
        service.stop()
    frames = sum(map(len, results.values()))
    frame_ms = 1000 * seconds / frames
    return {
        "seconds": seconds,
        "tokenizer": tokenizer,
        "frame_ms": round(frame_ms, 1),
        "streams": {stream: _figures(found, frame_ms * len(streams)) for stream, found in results.items()},
    }


def _figures(results: list[dict[str, Any]], cycle_ms: float) -> dict[str, Any]:
    gaps = [b["pts_s"] - a["pts_s"] for a, b in pairwise(results) if b["pts_s"] > a["pts_s"]]
    late = sum(result["dropped"].get("late", 0) for result in results)
    latency_ms = statistics.median(result["latency_ms"]["total"] for result in results)
    return {
        "results": len(results),
        "share": round(len(results) / (len(results) + late), 3),
        "spacing_cv": round(statistics.stdev(gaps) / statistics.mean(gaps), 3),
        "latency_p50_ms": round(latency_ms),
        "latency_over_cycle": round(latency_ms / cycle_ms, 2),
    }


def main() -> None:
    """Measures, prints, writes benchmarks/results/overload.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--tokenizer", default="full")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = overload(Path(folder), asked.seconds, asked.tokenizer)
    Console().print_json(json.dumps(figures))
    write_results("overload", figures)


if __name__ == "__main__":
    main()
