"""How long a command takes until there is something to see.

    python -m benchmarks.start [--rounds N] [--other CHECKOUT]

- `vwt run sample:bikes --max-frames 1`, a process of its own, from its start to its end: of the null model,
  at most 2 s; of the bundled one.
- `vwt serve` until /readyz answers 200: at most 15 s on two idle cores.

Medians of wall time, and of CPU time (of all processes of the service), as other work makes the first longer
and the second hardly. With --other, another checkout of this project takes turns with this one.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import write_results
from pipeline.defaults import DEFAULT_MODEL
from tests.survival.service import quiet_port, until

HERE = Path(__file__).parents[1]
_COMMAND = [sys.executable, "-c", "from workers.cli import main; main()"]
READY_S = 300


def first_result(checkout: Path, model: str) -> tuple[float, float]:
    """Wall and CPU seconds of `vwt run` for one frame."""
    options = ["run", "sample:bikes", "--model", model, "--max-frames", "1", "--quiet", "--out", os.devnull]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*_COMMAND, *options], check=True, env=_environment(checkout), cwd=checkout)
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def serve_ready(checkout: Path) -> tuple[float, float]:
    """Wall and CPU seconds of `vwt serve` until it is ready."""
    port = quiet_port()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        service = subprocess.Popen(
            [*_COMMAND, "serve", "--port", str(port), "--data-folder", folder],
            env=_environment(checkout),
            cwd=checkout,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: _answers(port), READY_S, "the service is not ready")
            wall_s = time.perf_counter() - started
            own = psutil.Process(service.pid)
            cpu = [process.cpu_times() for process in (own, *own.children(recursive=True))]
        finally:
            service.terminate()
            service.wait(60)
    return wall_s, sum(times.user + times.system for times in cpu)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _environment(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout)}


PARTS: dict[str, Callable[[Path], tuple[float, float]]] = {
    "vwt run, null": lambda checkout: first_result(checkout, "null"),
    f"vwt run, {DEFAULT_MODEL}": lambda checkout: first_result(checkout, DEFAULT_MODEL),
    "vwt serve": serve_ready,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="repetitions (default %(default)s)")
    parser.add_argument("--other", type=Path, help="another checkout to take turns with; writes no file")
    parser.add_argument("--only", default="", metavar="TEXT", help="parts whose name holds this")
    options = parser.parse_args()
    checkouts = [HERE, *([options.other.resolve()] if options.other else [])]
    table = Table("part", "checkout", "wall, s", "CPU, s")
    figures: dict[str, dict[str, float]] = {}
    for part, measure in PARTS.items():
        if options.only not in part:
            continue
        taken: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
        for _ in range(options.rounds):
            for checkout in checkouts:
                taken[checkout].append(measure(checkout))
        for checkout, seconds in taken.items():
            wall_s, cpu_s = (round(statistics.median(column), 2) for column in zip(*seconds, strict=True))
            table.add_row(part, checkout.name, f"{wall_s:.2f}", f"{cpu_s:.2f}")
            if checkout == HERE:
                figures[part] = {"wall_s": wall_s, "cpu_s": cpu_s}
    Console().print(table)
    if options.other is None and not options.only:
        write_results("start", figures)


if __name__ == "__main__":
    main()
