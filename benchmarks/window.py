"""What one write to the Redis window costs on a local socket, and what the window costs the server.

    python -m benchmarks.window

Writes the default number of patches of a sampled frame to the embedded server: with a pause before each, as
sampled frames come, for how long one takes; then one after another and from several connections at once,
for the MB/s of a server. A PING before each paced write tells how much of a slow one is waiting for a core:
on a machine with other work that is most of it.
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import numpy as np

from benchmarks.common import write_results
from vocab.connection import connect
from vocab.embedded import EmbeddedRedis
from vocab.redis_window import RedisWindow
from vocab.window import PatchSampler, WindowOptions

SIDE = 224
PATCH_SIZES = (14, 16)
PACED_WRITES, PAUSE_S = 3000, 0.004
BURST_WRITES = 3000
STREAMS = 4


def main() -> None:
    """Prints the figures and writes benchmarks/results/window.json."""
    figures: dict[str, Any] = {
        "target_write_p99_ms": 1.0,
        "paced_writes": PACED_WRITES,
        "load_average_before": round(os.getloadavg()[0], 2),
        "patch_sizes": {},
    }
    for patch_size in PATCH_SIZES:
        with EmbeddedRedis() as server:
            found = latency(server.url, patch_size) | throughput(server.url, patch_size)
        figures["patch_sizes"][patch_size] = found
        print(f"patch size {patch_size}: " + ", ".join(f"{name} {value}" for name, value in found.items()))
    print(write_results("window", figures))


def latency(url: str, patch_size: int) -> dict[str, float]:
    """Milliseconds of sampling, writing and reading, and what the server holds in MB (10^6 bytes)."""
    options = WindowOptions()
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    sampler = PatchSampler(options, patch_size)
    client = connect(url)
    window = RedisWindow(client, "one", patch_size, options)
    ping, draw, write, busy = (np.empty(PACED_WRITES) for _ in range(4))
    for number in range(PACED_WRITES):
        time.sleep(PAUSE_S)
        start = time.perf_counter()
        client.ping()
        pinged = time.perf_counter()
        patches = sampler.take(image, number / options.frames_per_s)
        assert patches is not None
        drawn, worked = time.perf_counter(), time.thread_time()
        window.add(patches)
        write[number], busy[number] = time.perf_counter() - drawn, time.thread_time() - worked
        ping[number], draw[number] = pinged - start, drawn - pinged
    start = time.perf_counter()
    held = window.read()
    read_s = time.perf_counter() - start
    server_bytes = client.memory_usage("vwt:{one}:window", samples=0)
    assert server_bytes is not None
    figures = {"draw": (draw, 50), "write": (write, 50), "write_cpu": (busy, 99), "ping": (ping, 99)}
    found = {
        f"{name}_p{percent}_ms": round(1000 * float(np.percentile(times, percent)), 3)
        for name, (times, percent) in figures.items()
    }
    return {
        **found,
        "write_p99_ms": round(1000 * float(np.percentile(write, 99)), 3),
        "read_all_ms": round(1000 * read_s, 1),
        "held_mb": round(held.nbytes / 1e6, 2),
        "server_mb": round(server_bytes / 1e6, 2),
    }


def throughput(url: str, patch_size: int) -> dict[str, float]:
    """MB/s (10^6 bytes) of pixels that one connection and several together write."""
    options = WindowOptions()
    patches = np.zeros((options.patches_per_frame, 3 * patch_size**2), np.uint8)
    found = {"stream_default": options.bytes_per_s(patch_size) / 1e6}
    for streams in (1, STREAMS):
        windows = [RedisWindow(connect(url), f"{streams}-{n}", patch_size) for n in range(streams)]

        def work(window: RedisWindow, writes: int = BURST_WRITES // streams) -> None:
            for _ in range(writes):
                window.add(patches)

        threads = [threading.Thread(target=work, args=(window,)) for window in windows]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        written = BURST_WRITES * patches.nbytes
        found[f"{streams}_connections"] = written / (time.perf_counter() - start) / 1e6
    return {f"{name}_mb_per_s": round(value, 4 if value < 1 else 1) for name, value in found.items()}


if __name__ == "__main__":
    main()
