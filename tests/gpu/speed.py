"""Frames per second and joules per frame of the tokenizers, windows interleaved; what a new length costs."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict, deque
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine, PendingBatch
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer
from pipeline.warmup import learn_words
from tests.gpu.report import Report

_GEOMETRY = Geometry(224, 224, 224, 224, 1, 1, 0, 0)
_WARMUP_FRAMES = 64
# So many lengths that come for the first time, and again.
_LENGTHS = 64
# What a first time may take against the next: a plan that is built takes ten times as long as a pass.
_MOST_STALL = 3.0


def measure(
    device: torch.device,
    images: list[npt.NDArray[np.uint8]],
    models: list[str],
    batches: list[int],
    seconds: float,
    repeats: int,
) -> list[dict[str, Any]]:
    """One row per model, batch size and tokenizer; words are learned from the clip's first frames."""
    rows = []
    for name in models:
        engine = Engine(load_model(name, weights="random", device=device))
        model = engine.model
        assert model.patch_size is not None
        words = learn_words(images[:_WARMUP_FRAMES], model.input, model.patch_size, 300, device=device)
        frames = [Frame(FrameTimes(pts_s=None), image, _GEOMETRY) for image in images[_WARMUP_FRAMES:]]
        tokenizers: tuple[Tokenizer, ...] = (
            FullTokenizer(),
            IntraTokenizer(0.5),
            InterTokenizer(words, 0.02),
        )
        for batch in batches:
            rows += _compare(engine, frames, tokenizers, batch, seconds, repeats)
    return rows


def measure_new_lengths(
    device: torch.device, image: npt.NDArray[np.uint8], name: str, report: Report
) -> dict[str, Any]:
    """What passes of one frame take whose number of tokens never came before, and when it comes again."""
    engine = Engine(load_model(name, weights="random", device=device))
    frame = Frame(FrameTimes(pts_s=None), image, _GEOMETRY)
    lengths = _LENGTHS if device.type == "cuda" else 4
    tokenizers = [IntraTokenizer(0.9 * number / lengths) for number in range(lengths)]
    for _ in range(8):
        engine.submit([frame], FullTokenizer()).result()
    rounds = []
    for _ in range(2):
        taken = []
        for tokenizer in tokenizers:
            start = time.perf_counter()
            engine.submit([frame], tokenizer).result()
            taken.append(1000 * (time.perf_counter() - start))
        rounds.append(taken)
    new, again = rounds
    figures = {
        "model": engine.model.name,
        "new_ms_median": round(statistics.median(new), 3),
        "new_ms_max": round(max(new), 3),
        "again_ms_median": round(statistics.median(again), 3),
    }
    what = f"a new length stalls nobody: {figures}"
    if device.type == "cuda":
        report.check(statistics.median(new) < _MOST_STALL * statistics.median(again), what)
    else:
        report.skip("a new length stalls nobody", f"the CPU builds no plans ({figures})")
    return figures


def _compare(
    engine: Engine,
    frames: list[Frame],
    tokenizers: tuple[Tokenizer, ...],
    batch: int,
    seconds: float,
    repeats: int,
) -> list[dict[str, Any]]:
    windows: dict[str, list[tuple[float, float, float | None]]] = defaultdict(list)
    for tokenizer in tokenizers:
        _window(engine, frames, tokenizer, batch, min(seconds, 1.0))
    for _ in range(repeats):
        for tokenizer in tokenizers:
            windows[tokenizer.name].append(_window(engine, frames, tokenizer, batch, seconds))
    rows = []
    for tokenizer in tokenizers:
        rates, kept, joules = zip(*windows[tokenizer.name], strict=True)
        known = [value for value in joules if value is not None]
        row = {
            "model": engine.model.name,
            "dtype": str(engine.model.dtype),
            "batch": batch,
            "tokenizer": tokenizer.name,
            "frames_per_s": round(statistics.median(rates), 1),
            "kept_share": round(statistics.mean(kept), 3),
            "joules_per_frame": round(statistics.median(known), 5) if known else None,
        }
        print(row, flush=True)
        rows.append(row)
    return rows


def _window(
    engine: Engine, frames: list[Frame], tokenizer: Tokenizer, batch: int, seconds: float
) -> tuple[float, float, float | None]:
    """Frames per second, share of tokens kept, and joules per frame of the whole window, idle included."""
    meter = open_meter("auto", str(engine.model.device))
    flying: deque[PendingBatch] = deque()
    count, kept, full, at = 0, 0, 0, 0

    def collect() -> None:
        nonlocal count, kept, full
        for output in flying.popleft().result().frames:
            count += 1
            kept += output.tokens_kept or 0
            full += output.tokens_full or 0

    with Ledger(meter) as ledger:
        start = time.monotonic()
        while time.monotonic() - start < seconds:
            chosen = [frames[(at + offset) % len(frames)] for offset in range(batch)]
            at += batch
            flying.append(engine.submit(chosen, tokenizer))
            if len(flying) >= engine.depth:
                collect()
        while flying:
            collect()
        elapsed = time.monotonic() - start
        ledger.poll()
        joules = ledger.totals().counter_joules
    meter.close()
    return count / elapsed, kept / full, None if joules is None else joules / count
