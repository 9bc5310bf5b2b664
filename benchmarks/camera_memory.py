"""What a camera holds in Redis once it keeps all that it may.

    python -m benchmarks.camera_memory RESULTS

RESULTS is what `vwt run CLIP --out RESULTS` wrote. Its results, again and again, are written to a real Valkey
as Inference writes them, four to a message and each energy once more when it is settled, until `kept_results`
are there; for a tokenizer of words a window is filled, and two sets of words are published. Bytes are what
Valkey says (MEMORY USAGE of each key, all of it), with the default settings.
"""

from __future__ import annotations

import argparse
import json
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.common import write_results
from tests.vocab.servers import Server
from vocab.connection import connect
from vocab.redis_lease import RedisLease
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from vocab.words import Vocabulary
from workers.contract.keys import StreamKeys
from workers.contract.result_log import ResultLog
from workers.settings.schema import ServiceSettings

MESSAGE = 4
PATCH = 14
# Cameras of one scope, as an example.
SITE = 20


def camera_memory(results: Path) -> dict[str, Any]:
    """Bytes by what they are for."""
    server = Server("valkey")
    try:
        client = connect(server.url)
        _write_results(client, [json.loads(line) for line in results.read_text().splitlines()])
        _write_words(client)
        found: dict[str, Any] = {"results": 0, "energies": 0, "window": 0, "words": 0, "rest": 0}
        for key in client.scan_iter():
            found[_kind(key.decode())] += client.memory_usage(key, samples=0)
    finally:
        server.close()
    own = found["results"] + found["energies"] + found["rest"]
    words = found["window"] + found["words"]
    megabytes = {name: round(size / 1e6, 2) for name, size in found.items()}
    return megabytes | {
        "without words (the default)": round(own / 1e6, 2),
        f"words shared by {SITE} cameras": round((own + words / SITE) / 1e6, 2),
        "words of its own": round((own + words) / 1e6, 2),
    }


def _write_results(client: Any, lines: list[dict[str, Any]]) -> None:
    kept = ServiceSettings().kept_results
    log, fence = ResultLog(client, "cam", kept), RedisLease(client, StreamKeys("cam")).acquire()
    assert fence is not None
    # More than are kept: Redis trims by whole nodes.
    numbered = ({**line, "stream": "cam", "frame": frame} for frame, line in enumerate(cycle(lines)))
    for first in range(0, kept + 1000, MESSAGE):
        group = list(islice(numbered, MESSAGE))
        texts = [json.dumps(one, separators=(",", ":")) for one in group]
        log.append(fence, first, texts, {"state": "running"})
        late = [{"frame": one["frame"], "energy": one["energy"]} for one in group]
        log.settle(fence, [json.dumps(one, separators=(",", ":")) for one in late], {})


def _write_words(client: Any) -> None:
    random = np.random.default_rng(0)
    window = RedisWindow(client, "cam/m", PATCH)
    for _ in range(300):
        window.add(random.integers(0, 256, (64, 3 * PATCH * PATCH), np.uint8))
    fence = RedisLease(client, "cam/m").acquire()
    assert fence is not None
    store = RedisStore(client, "cam/m", PATCH)
    for _ in range(2):
        store.publish(Vocabulary(torch.randn(1000, 3 * PATCH * PATCH)), fence)


def _kind(key: str) -> str:
    if key.endswith("}:results"):
        return "results"
    if key.endswith("}:energy"):
        return "energies"
    if key.endswith("}:window"):
        return "window"
    return "words" if ":vocab:" in key else "rest"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("results", type=Path)
    row = camera_memory(parser.parse_args().results)
    print(row)
    write_results("camera_memory", row)


if __name__ == "__main__":
    main()
