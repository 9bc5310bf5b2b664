"""How one replica of Ingest carries many cameras.

    python -m benchmarks.one_replica [--cameras 64] [--fps 1] [--clip FILE] [--seconds 30]

A real `vwt serve` with one replica of Ingest, which may take them all, and a null model: what is measured is
reading, sending and writing. Given are the share of the frames they are sampled at that have durable results,
CPU per frame by process, and of the replica of Ingest cores, memory (all, and its own alone) and threads.
Streams that were read by more than one process, as when a lease is lost, are counted.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.around import HERE, READY_S, Service, running, slice_of
from benchmarks.common import write_results
from tests.make_clips import longer, steady
from tests.survival.service import until

CONFIG = {
    "ingest": {
        "scaling": {"min_replicas": 1, "max_replicas": 1},
        # Of what it measures it decides nothing here.
        "cores_per_replica": 1000,
        "streams_per_replica": 256,
    }
}
# How much later each camera begins than the one before it.
APART_S = 0.2


def readers(service: Service) -> dict[str, int]:
    """The process that reads each stream."""
    streams = service.http.get("/v1/streams").json()["streams"]
    return {one["id"]: one["status"]["ingest"]["pid"] for one in streams if one["status"]["ingest"]}


def carried(service: Service, cameras: int, fps: float, clip: Path, seconds: float) -> dict[str, Any]:
    """Adds cameras and looks at them for a while."""
    for number in range(cameras):
        service.add(
            clip,
            name=f"camera-{number}",
            model="null",
            fps=fps,
            loop=True,
            realtime=True,
            policy="drop-oldest",
        )
        time.sleep(APART_S)
    until(lambda: len(readers(service)) == cameras, READY_S, "not all cameras are read")
    time.sleep(10)
    before = readers(service)
    [(cpu, frames)] = slice_of([service], seconds)
    after = readers(service)
    (pid,) = set(after.values())
    memory = psutil.Process(pid).memory_full_info()
    return {
        "share": round(frames / (cameras * fps * seconds), 3),
        "cpu_ms_per_frame": {kind: round(used / frames * 1e3, 2) for kind, used in cpu.most_common() if used},
        "ingest_cores": round(cpu["Ingest"] / seconds, 3),
        "ingest_mb": round(memory.rss / 1e6),
        "ingest_own_mb": round(memory.uss / 1e6),
        "ingest_threads": psutil.Process(pid).num_threads(),
        "moved": sum(after[name] != reader for name, reader in before.items()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cameras", type=int, default=64, help="how many (default %(default)s)")
    parser.add_argument("--fps", type=float, default=1, help="frames a second of each (default %(default)s)")
    parser.add_argument("--clip", type=Path, help="what they show; tiny pictures unless told")
    parser.add_argument("--seconds", type=float, default=30, help="that are measured (default %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = options.clip or longer(
            folder / "clip.mp4", steady(folder / "short.mp4", size=(64, 64)), times=40
        )
        config = folder / "service.yaml"
        config.write_text(json.dumps(CONFIG))
        with running(HERE, folder / "data", "--model", "null", "--config", str(config)) as service:
            found = carried(service, options.cameras, options.fps, clip.resolve(), options.seconds)
    shown = "tiny" if options.clip is None else options.clip.name
    figures = {"cameras": options.cameras, "fps": options.fps, "clip": shown, **found}
    Console().print(figures)
    write_results("one_replica", figures)


if __name__ == "__main__":
    main()
