"""Whether a service grows as streams come and go.

    python -m benchmarks.churn [--cycles 10000] [--minutes 60]

A real `vwt serve` with the null model and one replica of each kind. Streams of a short clip are added, run
and are removed, eight at a time; at every mark the resident memory of each process is noted. At the end: what
each had after the warm-up (a third) and then, at some marks on the way, and the slope of a line through the
marks between, in MB per thousand streams. More than MAX_SLOPE in Ingest or Inference is told as a leak. What
is kept of a stream goes a minute after its last frame, so a run of less than five minutes measures the
warm-up.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from benchmarks.common import write_results
from tests.make_clips import steady
from tests.survival.service import Service

AT_ONCE = 8
MARK_EVERY = 5
WARM_UP = 1 / 3
POINTS = 12
SETTINGS = {"model": "null", "tokenizer": "full", "loop": True, "realtime": True}
MB = 1e6
MAX_SLOPE = 25.0


def churn(folder: Path, cycles: int, minutes: float) -> dict[str, Any]:
    """Runs it; the figures."""
    clip = steady(folder / "clip.mp4", frames=30, size=(320, 180))
    config: dict[str, Any] = {name: {"scaling": {"max_replicas": 1}} for name in ("ingest", "inference")}
    config["ingest"]["poll_s"] = 0.2
    service = Service(folder / "churn", config)
    marks: list[tuple[int, dict[str, float]]] = []
    began = time.monotonic()
    done = 0
    try:
        while done < cycles and time.monotonic() - began < 60 * minutes:
            names = [service.add(clip, name=f"churn-{done + at}", **SETTINGS) for at in range(AT_ONCE)]
            for name in names:
                service.until_state(name, "running", 60)
            for name in names:
                service.http.delete(f"/v1/streams/{name}").raise_for_status()
            done += AT_ONCE
            if done % (MARK_EVERY * AT_ONCE) == 0:
                marks.append((done, memory_mb(service)))
    finally:
        service.stop()
    return {
        "cycles": done,
        "seconds": round(time.monotonic() - began),
        "processes": {name: growth(name, marks) for name in marks[-1][1]},
    }


def growth(name: str, marks: list[tuple[int, dict[str, float]]]) -> dict[str, Any]:
    """What a process had after the warm-up and at the end, the slope between, and points on the way."""
    series = [(at, memory[name]) for at, memory in marks if name in memory]
    steady_part = series[int(len(series) * WARM_UP) :]
    cycles, mb = np.array(steady_part).T
    slope = np.polyfit(cycles, mb, 1)[0] if len(steady_part) > 1 else 0.0
    return {
        "first_mb": round(series[0][1]),
        "warm_mb": round(steady_part[0][1]),
        "end_mb": round(steady_part[-1][1]),
        "mb_per_1000": round(1000 * float(slope), 2),
        "mb_at": {at: round(memory) for at, memory in series[:: max(1, len(series) // POINTS)]},
    }


def memory_mb(service: Service) -> dict[str, float]:
    """Memory by process: replicas by their deployment, what else there is by its name.

    What is shared (libraries, Ray's store) is told apart, as "... shared".
    """
    found: dict[str, float] = {}
    for one in [service.process(), *service.process().children(recursive=True)]:
        try:
            words = one.cmdline()
            name = words[0].partition(":Replica:")[0] if words else one.name()
            # A replica that is at work adds the name of its method.
            name = Path(name.removeprefix("ray::ServeReplica:").split()[0]).name.partition(".")[0]
            memory = one.memory_info()
            found[name] = found.get(name, 0.0) + (memory.rss - memory.shared) / MB
            found[f"{name} shared"] = found.get(f"{name} shared", 0.0) + memory.shared / MB
        except (psutil.Error, IndexError):  # it ended meanwhile
            continue
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=60.0, help="end then at the latest")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = churn(Path(folder), given.cycles, given.minutes)
    Console().print_json(data=figures)
    write_results("churn", figures)
    leaks = [
        name
        for name, figure in figures["processes"].items()
        if name in ("vwt:Ingest", "vwt:Inference") and figure["mb_per_1000"] > MAX_SLOPE
    ]
    if leaks:
        raise SystemExit(f"{', '.join(leaks)} grew by more than {MAX_SLOPE:g} MB per thousand streams")


if __name__ == "__main__":
    main()
