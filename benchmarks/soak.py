"""A service under load and faults for a long time.

    python -m benchmarks.soak [--minutes 30] [--seed 0]

A real `vwt serve` with files that play as cameras do. Every ten seconds, at random: a stream is added or
removed, a worker is killed, or Redis is killed and restarted by the service. A client follows one stream from
the first to the last minute. At the end: every frame of that stream came once and in order; no frame was
dropped without a reason; and the memory of all processes grew by at most 5 % from the warm-up to the end,
with the same number of streams in both.
"""

from __future__ import annotations

import argparse
import collections
import random
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from benchmarks.common import write_results
from tests.make_clips import longer, steady
from tests.survival.service import Service, until

STREAMS = 8
EVERY_S = 10.0
WARM_UP = 0.2
MAX_GROWTH = 0.05
SETTINGS = {"model": "null", "tokenizer": "full", "loop": True, "realtime": True, "fps": 5}


def soak(folder: Path, minutes: float, seed: int) -> dict[str, Any]:
    """Runs it; the figures."""
    clip = longer(folder / "clip.mp4", steady(folder / "s.mp4", frames=30, size=(320, 180)), times=4)
    chance = random.Random(seed)
    # One replica of each: a replica more or less would be taken for growth.
    config = {name: {"scaling": {"max_replicas": 1}} for name in ("ingest", "inference")}
    service = Service(folder / "soak", config)
    faults: collections.Counter[str] = collections.Counter()
    memory: list[tuple[float, float]] = []
    try:
        followed = service.add(clip, name="followed", **SETTINGS)
        tail = service.tail(followed)
        tail.more(20)
        names = [service.add(clip, name=f"soak-{number}", **SETTINGS) for number in range(STREAMS)]
        number, started = STREAMS, time.monotonic()
        while (now := time.monotonic() - started) < minutes * 60:
            fault = chance.choices(("replace", "ingest", "inference", "redis"), (12, 2, 2, 1))[0]
            if fault == "replace":
                gone = names.pop(chance.randrange(len(names)))
                service.http.delete(f"/v1/streams/{gone}").raise_for_status()
                names.append(service.add(clip, name=f"soak-{number}", **SETTINGS))
                number += 1
            elif fault == "redis":
                _redis_of(service).kill()
            else:
                # Whoever takes over from one that was just killed may not have said so yet.
                until(partial(_lives, service, followed, fault), 120, f"no {fault} takes over")
                service.kill_worker(followed, fault)
            faults[fault] += 1
            time.sleep(EVERY_S)
            # Redis and the service's answers may be away for a moment.
            until(service.ready, 120, "the service does not come back")
            memory.append((now / (minutes * 60), _memory_mb(service)))
        tail.more(20)
        tail.stop()
        tail.check_once_each()
        dropped = service.status(followed)["dropped"]
    finally:
        service.stop()
    warm = statistics.median(mb for at, mb in memory if WARM_UP <= at < 2 * WARM_UP)
    end = statistics.median(mb for at, mb in memory if at >= 1 - WARM_UP)
    return {
        "minutes": minutes,
        "faults": dict(faults),
        "frames_followed": len(tail.frames),
        "dropped": dropped,
        "gaps_told": len(tail.gaps),
        "memory_warm_mb": round(warm),
        "memory_end_mb": round(end),
        "growth": round(end / warm - 1, 4),
    }


def _lives(service: Service, stream: str, role: str) -> bool:
    worker = service.status(stream)[role]
    return worker is not None and psutil.pid_exists(worker["pid"])


def _redis_of(service: Service) -> psutil.Process:
    for one in service.process().children(recursive=True):
        if one.name().startswith("valkey"):
            return one
    raise SystemExit("the service runs no Redis")


def _memory_mb(service: Service) -> float:
    total = 0.0
    for one in [service.process(), *service.process().children(recursive=True)]:
        try:
            total += one.memory_full_info().pss / 1e6
        except psutil.Error:  # it ended meanwhile
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = soak(Path(folder), given.minutes, given.seed)
    Console().print_json(data=figures)
    write_results("soak", figures)
    if figures["growth"] > MAX_GROWTH:
        raise SystemExit(
            f"memory grew by {100 * figures['growth']:.1f} % of {100 * MAX_GROWTH:.0f} % allowed"
        )


if __name__ == "__main__":
    main()
