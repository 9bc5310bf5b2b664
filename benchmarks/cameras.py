"""How many fixed cameras a machine's service holds with `recall`, and with every frame in full.

    python -m benchmarks.cameras --clip FILE [--fps 5] [--seconds 20]

A real `vwt serve` is given copies of a fixed camera's clip, each at its own pace from another time on, until
they are too many. It holds a number of them when at least .98 of the frames they are sampled at have durable
results. One service after the other: every frame in full in float32, the same at the service's own precision,
and `recall` at its default target, which may not give way to a load. CPU is that of all processes of the
service (decoding, Redis and Ray's own too) per result, at the largest number that was held.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.around import HERE, READY_S, Service, running, slice_of
from benchmarks.common import write_results
from tests.survival.service import until

HELD = 0.98
# How much later each camera begins than the one before it, in its own frames and the clip's.
APART_S = 1.3
# What is added when so many were held.
GROWTH = 1.25
FULL = {"tokenizer": "full"}
ARMS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "full, fp32": (("--precision", "fp32"), FULL),
    "full": ((), FULL),
    "recall": ((), {"tokenizer": "recall", "min_target": 0.98}),
}


def held(arm: str, clip: Path, fps: float, seconds: float, folder: Path) -> dict[str, Any]:
    """Adds cameras until they are too many; figures of the largest number that was held."""
    options, settings = ARMS[arm]
    best: dict[str, Any] = {"cameras": 0}
    with running(HERE, folder, *options) as service:
        count, present = 1, 0
        while True:
            while present < count:
                name = f"camera-{present}"
                service.add(clip, name=name, fps=fps, loop=True, realtime=True, **settings)
                until(partial(_has_result, service, name), READY_S)
                present += 1
                time.sleep(APART_S)
            # Precision is chosen by the first frames, and those that run in full are not the steady state.
            time.sleep(10)
            [(cpu, frames)] = slice_of([service], seconds)
            share = frames / (count * fps * seconds)
            print(f"{arm}: {count} cameras, {share:.3f} of their frames", flush=True)
            if share < HELD:
                return best | {"too_many": count, "share_then": round(share, 3)}
            best = {
                "cameras": count,
                "per_core": round(count / (os.cpu_count() or 1), 2),
                "share": round(min(share, 1.0), 3),
                "cpu_ms_per_frame": round(sum(cpu.values()) / frames * 1e3, 1),
                "by_process": {kind: round(one / frames * 1e3, 2) for kind, one in cpu.most_common()},
                **_fidelity(service, count),
            }
            count = max(count + 1, round(count * GROWTH))


def _has_result(service: Service, name: str) -> bool:
    return int(service.status(name)["next_frame"]) > 0


def _fidelity(service: Service, count: int) -> dict[str, Any]:
    """What the streams' audits found, and what their frames were decided to be."""
    found = [service.status(f"camera-{number}") for number in range(count)]
    decisions: Counter[str] = Counter()
    for one in found:
        decisions.update(one.get("decisions") or {})
    return {"decisions": dict(decisions.most_common()), "fidelity": found[0].get("fidelity")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", type=Path, required=True, help="what the fixed cameras show")
    parser.add_argument("--fps", type=float, default=5, help="frames a second of each (default %(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=20, help="each number is looked at (default %(default)s)"
    )
    parser.add_argument("--only", choices=list(ARMS), help="one of the services; writes no file")
    options = parser.parse_args()
    figures = {}
    for arm in [options.only] if options.only else ARMS:
        with tempfile.TemporaryDirectory() as folder:
            clip = options.clip.resolve()
            figures[arm] = held(arm, clip, options.fps, options.seconds, Path(folder))
    table = Table("every frame", "cameras held", "per core", "CPU, ms per frame", "by process")
    for arm, one in figures.items():
        processes = ", ".join(f"{kind} {ms}" for kind, ms in one.get("by_process", {}).items())
        table.add_row(
            arm, *(str(one.get(key)) for key in ("cameras", "per_core", "cpu_ms_per_frame")), processes
        )
    Console(width=140).print(table)
    if options.only is None:
        write_results("cameras", {"clip": options.clip.name, "fps": options.fps, **figures})


if __name__ == "__main__":
    main()
