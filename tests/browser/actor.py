"""Plays the part of the workers: writes what Ingest and Inference would, for the page to show."""

from __future__ import annotations

import functools
import io
import json
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

from tests.workers.gateway.serving import Writer
from workers.contract.bill import Figures, day_of

_PICTURE = Path(__file__).parents[2] / "docs" / "annotated.png"
# By their sizes the page's picture is told to be one or the other.
MAP_SIZE, PLAIN_SIZE = (640, 360), (320, 180)
FULL = 256
# Frames until there are words, and from one audit to the next.
WARM_UP, AUDIT = 64, 48


class Actor(Writer):
    """A stream with results, at about ten a second while `play` is on.

    Attributes:
        lose: frames dropped before each result, by reason.
        watched: further fields of its status, from now on.
        told: further fields of its results, from now on.
        sizes: of its pictures with the map and without.

    Args:
        url: of Redis.
        stream: id of a stream that is there.
        joules: of a frame of all tokens; None for a device without a meter.
        method: of metering.
        busy: share of the tokens that is kept.
        version: of the words in use; None while there are none.
        recalls: whether frames are held, recalled and audited; else they are merged once there are words.
    """

    def __init__(
        self, url: str, stream: str, joules: float | None = 0.8, method: str = "nvml", busy: float = 0.5,
        version: int | None = None, recalls: bool = False,
    ) -> None:  # fmt: skip
        super().__init__(url, stream)
        self._joules, self._method, self._busy = joules, method, busy
        self.version = version
        self.lose: dict[str, int] = {}
        self.watched: dict[str, Any] = {}
        self.told: dict[str, Any] = {}
        self.sizes = (MAP_SIZE, PLAIN_SIZE)
        self._recalls = recalls
        self._next = 0
        self._sums: dict[str, Any] = {
            "tokens_full": 0, "tokens_kept": 0, "warm_up_frames": 0, "warm_up_tokens": 0, "decisions": {},
        }  # fmt: skip
        self._saved: float | None = None
        self._full: list[float] = []
        self._total: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def give(self, count: int, **status: Any) -> None:
        """Writes that many results and the state that comes with them."""
        results = [self._result(number) for number in range(self._next, self._next + count)]
        fields = {
            "state": "running", "reason": None, "results_at": time.time(), "joules": self._total,
            "energy_method": self._method, "fps": 10.0, "latency_ms": 63.0, "vocab_version": self.version,
            "live": True, "tokenizer": self._tokenizer, "recall_bytes": 4_600_000 if self._recalls else 0,
            "full_joules": self._full, "saved_joules": self._saved,
            "ingest": {"replica": "a", "node": "10.0.0.7", "pid": 4100},
            "inference": {"replica": "b", "node": "10.0.0.7", "pid": 4200},
            **self._bill(), **self._sums, **self.watched, **status,
        }  # fmt: skip
        self.log.append(self.fence, self._next, [json.dumps(result) for result in results], fields)
        self._next += count
        mapped, plain = (_jpeg(size, self._next) for size in self.sizes)
        self.client.hset(self.keys.preview, mapping={"frame": self._next, "jpeg": mapped, "plain": plain})

    def say(self, state: str, reason: str | None) -> None:
        """Changes the state, as a worker does when its source breaks."""
        fields = {"state": state, "reason": reason, "since": time.time()}
        self.log.set_status(self.fence, fields, json.dumps(fields))

    def play(self) -> None:
        """Goes on giving results, until `rest`."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._play)
        self._thread.start()

    def rest(self) -> None:
        """Gives no more results."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _bill(self) -> dict[str, Any]:
        if self._total is None:
            return {}
        energy = Figures(self._next, self._total, self._saved).to_dict()
        return {"day": day_of(time.time()), "day_energy": {self._method: energy}}

    @property
    def _tokenizer(self) -> str:
        return "recall" if self._recalls else "inter"

    def _play(self) -> None:
        while not self._stop.wait(0.2):
            self.give(2)

    def _result(self, number: int) -> dict[str, Any]:
        wave = abs(number % 80 - 40) / 40
        kept = int(FULL * min(1.0, self._busy * (0.7 + 0.6 * wave)))
        decision, version = None, self.version
        if self._recalls:
            decision = "full" if number % AUDIT == 0 else "recall" if number % 3 == 0 else "hold"
            kept = {"full": FULL, "recall": kept, "hold": 0}[decision]
            self._sums["decisions"][decision] = self._sums["decisions"].get(decision, 0) + 1
        elif number < WARM_UP:
            kept, version = FULL, None
            self._sums["warm_up_frames"] += 1
            self._sums["warm_up_tokens"] += FULL
        joules = None if self._joules is None else round(self._joules * (0.1 + 0.9 * kept / FULL), 6)
        self._sums["tokens_full"] += FULL
        self._sums["tokens_kept"] += kept
        if joules is not None and self._joules is not None:
            self._total = (self._total or 0.0) + joules
            if kept == FULL:
                self._full = [*self._full, joules][-32:]
            self._saved = (self._saved or 0.0) + self._joules - joules
        spike = 70 if number % 53 == 0 else 0
        return {
            "stream": self.stream, "frame": number, "pts_s": number / 10, "captured_at": None,
            "model": "dinov2_vits14_saliency", "tokenizer": self._tokenizer, "vocab_version": version,
            "tokens": {"full": FULL, "kept": kept}, "decision": decision,
            "held_ms": 100.0 * (number % 3) if decision == "hold" else None,
            "prediction": {"kind": "regions", "regions": [
                {"x": 0.4, "y": 0.3, "w": 0.1, "h": 0.2, "score": 0.5 + 0.4 * wave}]},
            "latency_ms": {"decode": 1.3, "queue": 0.4, "infer": 61.0, "total": 40 + 25 * wave + spike},
            "energy": {"joules": joules, "above_idle_joules": None, "method": self._method, "settled": True,
                       "uncertainty_joules": 0.05},
            "dropped": self.lose, **self.told,
        }  # fmt: skip


@functools.cache
def _picture(size: tuple[int, int]) -> Image.Image:
    with Image.open(_PICTURE) as picture:
        return picture.convert("RGB").resize(size)


def _jpeg(size: tuple[int, int], number: int) -> bytes:
    data = io.BytesIO()
    moved = _picture(size).copy()
    moved.paste((255, 176, 0), (0, 0, number % size[0], 4))
    moved.save(data, "JPEG")
    return data.getvalue()
