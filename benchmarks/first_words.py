"""How soon many cameras have their first words.

    python -m benchmarks.first_words [--scopes 200]

One replica of VocabularyKeeper, with one thread as it runs, on a real Valkey where that many scopes of their
own have just filled a window with the patches that first words are learned from (1,024 of 14 pixels; a camera
writes them within 32 s). Patches are random pixels, which no clustering finds easy. Told are seconds of CPU
and of the clock until each scope has 1,000 words, and then what a look at such a window costs: while it
stands still, and after a frame more.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

from benchmarks.common import write_results
from pipeline.fit import Inputs
from pipeline.input_spec import InputSpec
from tests.vocab.servers import Server
from vocab.background import step_back
from vocab.connection import connect
from vocab.redis_store import RedisStore
from vocab.redis_window import RedisWindow
from workers.contract.keys import StreamKeys
from workers.contract.messages import ModelFacts
from workers.contract.stream_spec import StreamSpec
from workers.contract.stream_status import to_fields
from workers.contract.stream_store import StreamStore
from workers.keeper.keepers import Keepers
from workers.settings.schema import KeeperSettings

PATCH = 14


def first_words(scopes: int) -> dict[str, Any]:
    """See the module."""
    server = Server("valkey")
    client: Any = connect(server.url)
    random = np.random.default_rng(0)
    names = [f"cam-{number}" for number in range(scopes)]
    for name in names:
        StreamStore(client).add(StreamSpec(id=name, source="x", model="m", tokenizer="inter"))
        client.hset(StreamKeys(name).state, mapping=to_fields({"state": "running"}))
        _add(client, name, random, 1024)
    facts = ModelFacts(Inputs(InputSpec(224, 224), PATCH), ("full", "inter"))
    keepers = Keepers(server.url, KeeperSettings(), lambda _: facts, lambda _: None)
    step_back()
    try:
        cpu, clock = time.process_time(), time.monotonic()
        while not all(one["state"] == "keeping" for one in keepers.scopes()) or not keepers.scopes():
            keepers.step()
        found = {"scopes": scopes, "cpu_s": time.process_time() - cpu, "clock_s": time.monotonic() - clock}
        assert all(RedisStore(client, f"{name}/m", PATCH).current() for name in names)
        found["look_cpu_ms_first"] = _look(keepers)
        found["look_cpu_ms_unchanged"] = _look(keepers)
        for name in names:
            _add(client, name, random, 64)
        found["look_cpu_ms_changed"] = _look(keepers)
        return {key: round(value, 4) for key, value in found.items()}
    finally:
        keepers.stop()
        server.close()


def _add(client: Any, name: str, random: np.random.Generator, patches: int) -> None:
    RedisWindow(client, f"{name}/m", PATCH).add(
        random.integers(0, 256, (patches, 3 * PATCH * PATCH), np.uint8)
    )


def _look(keepers: Keepers) -> float:
    """CPU of a look at one window, in ms, of looks at all."""
    cpu = time.process_time()
    for entry in keepers._kept.values():
        entry.due_s = 0.0
    while any(entry.due_s == 0.0 for entry in keepers._kept.values()):
        keepers.step()
    return (time.process_time() - cpu) / len(keepers._kept) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--scopes", type=int, default=200)
    row = first_words(parser.parse_args().scopes)
    print(row)
    write_results("first_words", row)


if __name__ == "__main__":
    main()
