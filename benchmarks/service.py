"""What the service costs over `vwt run`, and how it carries many streams.

    python -m benchmarks.service [rate] [fair] [latency] [many] [scaling]

Each part starts a real `vwt serve` on an embedded Redis:

- rate: frames per second of one file, of `vwt serve` over `vwt run`, in turn, medians. Null model, and
  ViT-S/16 on the CPU with `full`: at least 0.9. A rate is frames over the time from the start of reading to
  the last result, as both have loaded everything before.
- fair: eight files at once, the slowest stream over the mean: at least 0.8.
- latency: a live stream of 10 frames per second over RTSP, null model: from the arrival of a picture to a
  client's having its result, of the service less that of `vwt run --out -`. At most 15 ms more at p50, 60 at
  p99.
- many: 200 streams of tiny pictures, null model, 1 frame/s each: memory and CPU per stream, frames missing.
- scaling: streams 1, 16, 1: how long replicas take to follow.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from benchmarks.clips import repeated
from benchmarks.common import RESULTS, write_results
from tests.conftest import RtspServer
from tests.make_clips import longer, steady
from tests.survival.service import Service, until

VWT = str(Path(sys.executable).with_name("vwt"))
NULL = {"model": "null", "tokenizer": "full"}
VIT = {"model": "vit_small_patch16_224", "tokenizer": "full"}
WEIGHTS = {"inference": {"weights": {"vit_small_patch16_224": "random"}}}
LONG_S = 900


def rate(folder: Path) -> dict[str, Any]:
    """Frames per second of one file."""
    figures = {}
    for name, settings, turns, repeats in (("null", NULL, 20, 5), ("vit_small_patch16_224", VIT, 1, 3)):
        clip = repeated("bikes", turns, folder)
        service = Service(folder / name, {**WEIGHTS, "kept_results": 100_000})
        try:
            _warm(service, clip, settings)
            run, serve = [], []
            for turn in range(repeats):
                run.append(_run_rate(folder, clip, settings))
                serve.append(_serve_rate(service, clip, settings, f"rate-{turn}"))
        finally:
            service.stop()
        ratio = statistics.median(b / a for a, b in zip(run, serve, strict=True))
        figures[name] = {
            "run_fps": round(statistics.median(run), 1),
            "serve_fps": round(statistics.median(serve), 1),
            "ratio": round(ratio, 3),
        }
    return figures


def fair(folder: Path) -> dict[str, Any]:
    """Eight files at once."""
    clip = repeated("bikes", 4, folder)
    service = Service(folder / "fair", {**WEIGHTS})
    try:
        _warm(service, clip, VIT)
        streams = [service.add(clip, name=f"fair-{number}", **VIT) for number in range(8)]
        until(lambda: all(_next(service, stream) for stream in streams), LONG_S)
        before = [_next(service, stream) for stream in streams]
        time.sleep(40)
        rates = [(_next(service, s) - b) / 40 for s, b in zip(streams, before, strict=True)]
    finally:
        service.stop()
    slowest = min(rates) / statistics.mean(rates)
    return {"fps": [round(one, 2) for one in rates], "slowest_over_mean": round(slowest, 3)}


def latency(folder: Path) -> dict[str, Any]:
    """From the arrival of a live picture to its result at the client."""
    clip = longer(folder / "live.mp4", steady(folder / "short.mp4", size=(640, 360)), times=40)
    camera = RtspServer(clip)
    try:
        alone = _run_latency(camera.url)
        service = Service(folder / "latency", {})
        try:
            stream = service.add(camera.url, name="live", **NULL)
            tail = service.tail(stream)
            tail.more(50)
            skipped = len(tail.frames)
            tail.more(300, within_s=60)
            offset = time.time() - time.monotonic()
            served = [
                (at + offset - result["captured_at"]) * 1000
                for at, result in zip(tail.times[skipped:], tail.results[skipped:], strict=True)
            ]
            tail.stop()
        finally:
            service.stop()
    finally:
        camera.kill()
    figures = {"run": _quantiles(alone), "serve": _quantiles(served)}
    return {
        **figures,
        "added_p50_ms": round(figures["serve"]["p50_ms"] - figures["run"]["p50_ms"], 1),
        "added_p99_ms": round(figures["serve"]["p99_ms"] - figures["run"]["p99_ms"], 1),
    }


def many(folder: Path, count: int = 200) -> dict[str, Any]:
    """Many tiny streams."""
    clip = longer(folder / "tiny.mp4", steady(folder / "s.mp4", frames=30, size=(64, 64)), times=4)
    service = Service(folder / "many", {"ingest": {"scaling": {"max_replicas": 1}}})
    try:
        settings = {**NULL, "loop": True, "realtime": True, "fps": 1}
        service.add(clip, name="tiny-0", **settings)
        until(lambda: _next(service, "tiny-0") > 3, 60)
        before = _memory_mb(service)
        for number in range(1, count):
            service.add(clip, name=f"tiny-{number}", **settings)
        names = [f"tiny-{number}" for number in range(count)]
        until(lambda: all(_next(service, name) > 5 for name in names), LONG_S)
        cpu, started = _cpu_s(service), time.monotonic()
        first = [_next(service, name) for name in names]
        time.sleep(60)
        span_s = time.monotonic() - started
        cores = (_cpu_s(service) - cpu) / span_s
        rates = [(_next(service, name) - b) / span_s for name, b in zip(names, first, strict=True)]
        memory = _memory_mb(service) - before
        dropped = sum(sum(service.status(name)["dropped"].values()) for name in names)
        restarts = sum(service.status(name)["restarts"] for name in names)
    finally:
        service.stop()
    return {
        "streams": count,
        "memory_per_stream_mb": round(memory / (count - 1), 2),
        "cores_per_stream": round(cores / count, 4),
        "frames_per_s": round(sum(rates), 1),
        "slowest_fps": round(min(rates), 3),
        "dropped": dropped,
        "restarts": restarts,
    }


def scaling(folder: Path) -> dict[str, Any]:
    """Streams 1, 16, 1, four per replica."""
    clip = longer(folder / "tiny.mp4", steady(folder / "s.mp4", frames=30, size=(64, 64)), times=4)
    replicas = {"max_replicas": 4, "upscale_delay_s": 1, "downscale_delay_s": 5}
    ingest = {"streams_per_replica": 4, "cores_per_replica": 1000, "num_cpus": 0.1, "scaling": replicas}
    service = Service(folder / "scaling", {"ingest": ingest})
    settings = {**NULL, "loop": True, "realtime": True, "fps": 2}
    table = {}
    try:
        names = [service.add(clip, name="scale-0", **settings)]
        until(lambda: _readers(service, names) == 1, LONG_S)
        started = time.monotonic()
        names += [service.add(clip, name=f"scale-{number}", **settings) for number in range(1, 16)]
        until(lambda: all(_next(service, name) for name in names), LONG_S)
        table["all_16_flow_s"] = round(time.monotonic() - started, 1)
        until(lambda: _ingest_processes(service) == 4, LONG_S)
        table["four_replicas_s"] = round(time.monotonic() - started, 1)
        started = time.monotonic()
        for name in names[1:]:
            service.http.delete(f"/v1/streams/{name}")
        until(lambda: _ingest_processes(service) == 1, LONG_S)
        table["back_to_one_replica_s"] = round(time.monotonic() - started, 1)
        after = _next(service, names[0])
        until(lambda: _next(service, names[0]) > after + 4, 60)
    finally:
        service.stop()
    return table


def _next(service: Service, stream: str) -> int:
    return int(service.status(stream)["next_frame"])


def _readers(service: Service, names: Sequence[str]) -> int:
    found = {(service.status(name)["ingest"] or {}).get("pid") for name in names}
    return len(found - {None})


def _warm(service: Service, clip: Path, settings: dict[str, Any]) -> None:
    """Loads the model and everything else that is loaded once."""
    stream = service.add(clip, name="warm", **settings)
    until(lambda: _next(service, stream) > 100, LONG_S)
    service.http.delete(f"/v1/streams/{stream}")


def _serve_rate(service: Service, clip: Path, settings: dict[str, Any], name: str) -> float:
    """From the first look at the source to the last durable result; a client reads it all afterwards."""
    service.add(clip, name=name, **settings)
    status = service.until_state(name, "ended", LONG_S, every_s=0.5)
    tail = service.tail(name)
    tail.until_frames(status["next_frame"], 60)
    tail.stop()
    tail.check_once_each()
    service.http.delete(f"/v1/streams/{name}")
    started_at = next(event["at"] for event in tail.told if event["state"] == "running")
    return float(status["next_frame"] / (status["results_at"] - started_at))


def _run_rate(folder: Path, clip: Path, settings: dict[str, Any]) -> float:
    summary = folder / "summary.json"
    options = ["--model", settings["model"], "--tokenizer", settings["tokenizer"]]
    if settings is VIT:
        options += ["--weights", "random"]
    command = [VWT, "run", str(clip), "--quiet", *options, "--out", str(folder / "r.jsonl")]
    subprocess.run([*command, "--json-summary", str(summary)], check=True)
    return float(json.loads(summary.read_text())["fps"])


def _run_latency(url: str) -> list[float]:
    command = [VWT, "run", url, "--model", "null", "--tokenizer", "full", "--batch", "1"]
    command += ["--max-frames", "350", "--quiet", "--out", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        late = [(time.time() - json.loads(line)["captured_at"]) * 1000 for line in run.stdout]
    return late[50:]


def _quantiles(late: Sequence[float]) -> dict[str, float]:
    p50, p99 = np.quantile(late, [0.5, 0.99])
    return {"frames": len(late), "p50_ms": round(float(p50), 1), "p99_ms": round(float(p99), 1)}


def _replicas(service: Service, name: str = "") -> list[psutil.Process]:
    own = service.process().children(recursive=True)
    return [one for one in own if name in " ".join(_command(one))]


def _ingest_processes(service: Service) -> int:
    return len(_replicas(service, "ray::ServeReplica:vwt:Ingest"))


def _command(process: psutil.Process) -> list[str]:
    try:
        words: list[str] = process.cmdline()
        return words
    except psutil.Error:
        return []


def _memory_mb(service: Service) -> float:
    """Memory of all processes of the service, what they share counted once."""
    return float(sum(one.memory_full_info().pss for one in [service.process(), *_replicas(service)])) / 1e6


def _cpu_s(service: Service) -> float:
    times = [one.cpu_times() for one in [service.process(), *_replicas(service)]]
    return float(sum(one.user + one.system for one in times))


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "rate": rate,
    "fair": fair,
    "latency": latency,
    "many": many,
    "scaling": scaling,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    asked = parser.parse_args().parts or list(PARTS)
    path = RESULTS / "service.json"
    figures = json.loads(path.read_text())["figures"] if path.exists() else {}
    for part in asked:
        with tempfile.TemporaryDirectory() as folder:
            figures[part] = PARTS[part](Path(folder))
        Console().print_json(data={part: figures[part]})
        write_results("service", figures)


if __name__ == "__main__":
    main()
