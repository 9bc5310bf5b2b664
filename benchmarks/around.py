"""What the service spends around a null model per frame of cameras.

    python -m benchmarks.around [--streams 16] [--fps 5] [--slices 6] [--seconds 10] [--other CHECKOUT]

Streams of tiny clips (64x64, so that decoding is next to nothing) go through a real `vwt serve`, each at its
own pace as a camera does. CPU is that of all processes of the service over the frames whose results became
durable, also by process; what it spends with no stream at all (Ray's own housekeeping) stands beside it. With
--other, another checkout of this project runs beside this one, both measured over the same seconds;
ratios are of the same slice.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.common import write_results
from tests.make_clips import longer, steady
from tests.survival.service import Api, quiet_port, until

HERE = Path(__file__).parents[1]
_SERVE = [sys.executable, "-c", "from workers.cli import main; main()", "serve"]
READY_S = 300


class Service(Api):
    """A running `vwt serve` of a checkout."""

    def __init__(self, checkout: Path, port: int, process: psutil.Process) -> None:
        super().__init__(port)
        self.name = checkout.name
        self._process = process

    def cpu_s(self) -> Counter[str]:
        """CPU seconds so far, by kind of process."""
        found: Counter[str] = Counter()
        for one in (self._process, *self._process.children(recursive=True)):
            try:
                times = one.cpu_times()
                found[_kind(one)] += times.user + times.system
            except psutil.NoSuchProcess:
                pass
        return found

    def frames(self) -> int:
        """Frames whose results are durable, of all streams."""
        streams = self.http.get("/v1/streams").json()["streams"]
        return sum(int(one["status"]["next_frame"]) for one in streams)


def _kind(process: psutil.Process) -> str:
    command = " ".join(process.cmdline())
    replica = re.match(r"ray::ServeReplica:\w+:(\w+)", command)
    if replica:
        return replica[1]
    return "Ray" if "ray" in command else "Redis" if "valkey" in command or "redis" in command else "vwt"


@contextmanager
def running(checkout: Path, folder: Path, *options: str) -> Iterator[Service]:
    """A service, with more options of the command line, from its start until the block ends."""
    port = quiet_port()
    command = [*_SERVE, "--port", str(port), "--data-folder", str(folder), "--allow-folder", "/", *options]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, cwd=checkout, stdout=log, stderr=log)
        try:
            service = Service(checkout, port, psutil.Process(process.pid))
            until(service.ready, READY_S, f"the service of {checkout} is not ready")
            yield service
        finally:
            process.terminate()
            process.wait(60)


def slice_of(services: list[Service], seconds: float) -> list[tuple[Counter[str], int]]:
    """CPU seconds by kind of process, and frames, of each service over the same time."""
    before = [(one.cpu_s(), one.frames()) for one in services]
    time.sleep(seconds)
    after = [(one.cpu_s(), one.frames()) for one in services]
    return [(cpu - old, frames - first) for (cpu, frames), (old, first) in zip(after, before, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=16, help="cameras (default %(default)s)")
    parser.add_argument("--fps", type=float, default=5, help="frames a second of each (default %(default)s)")
    parser.add_argument("--slices", type=int, default=6, help="times it is measured (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=10, help="of a slice (default %(default)s)")
    parser.add_argument("--other", type=Path, help="another checkout beside this one; writes no file")
    options = parser.parse_args()
    checkouts = [HERE, *([options.other.resolve()] if options.other else [])]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        clip = longer(folder / "clip.mp4", steady(folder / "short.mp4", size=(64, 64)), times=40)
        services = [
            stack.enter_context(running(checkout, folder / str(number), "--model", "null"))
            for number, checkout in enumerate(checkouts)
        ]
        time.sleep(options.seconds)
        idle = [sum(cpu.values()) / options.seconds for cpu, _ in slice_of(services, options.seconds)]
        settings = {"model": "null", "fps": options.fps, "loop": True, "realtime": True}
        for service in services:
            for number in range(options.streams):
                service.add(clip, name=f"camera-{number}", policy="drop-oldest", **settings)
        enough = options.streams * options.fps * 5
        until(lambda: all(service.frames() > enough for service in services), READY_S)
        slices = [slice_of(services, options.seconds) for _ in range(options.slices)]
    table = Table("checkout", "frames/s", "CPU, ms per frame", "idle, cores", "ratio", "by process")
    totals = [[sum(cpu.values()) / frames * 1e3 for cpu, frames in one] for one in slices]
    figures: dict[str, float] = {}
    for number, checkout in enumerate(checkouts):
        own = [one[number] for one in slices]
        frames = sum(count for _, count in own)
        kinds = sum((cpu for cpu, _ in own), Counter[str]())
        ratios = [here[0] / here[number] for here in totals]
        figures = figures or {
            "frames_per_s": round(frames / options.slices / options.seconds, 1),
            "cpu_ms_per_frame": round(statistics.median(one[0] for one in totals), 2),
            "idle_cores": round(idle[0], 3),
        }
        table.add_row(
            f"{checkout.parent.name}/{checkout.name}",
            f"{frames / options.slices / options.seconds:.1f}",
            f"{statistics.median(one[number] for one in totals):.2f}",
            f"{idle[number]:.3f}",
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})",
            ", ".join(f"{kind} {cpu / frames * 1e3:.2f}" for kind, cpu in kinds.most_common()),
        )
    Console(width=140).print(table)
    if options.other is None:
        write_results("around", {"streams": options.streams, "fps": options.fps, **figures})


if __name__ == "__main__":
    main()
