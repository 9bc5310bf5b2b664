"""`vwt bench` from end to end: load, read the clips, measure, report."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from pipeline.clip import Clip, clip_source, read_clip
from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.fit import fit_of
from pipeline.models import Model, resolve_device
from pipeline.preprocess import Preprocessor
from pipeline.tokenizers.full import FullTokenizer
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizing import kind_for
from pipeline.warmup import learn_words
from vocab.words import Vocabulary
from workers.bench.arms import control_arms, full_arm, tokenizer_arms
from workers.bench.machine import machine
from workers.bench.measure import measure
from workers.bench.models import BenchModels
from workers.bench.options import Asked, BenchOptions
from workers.bench.report import method_figures

# Meters whose joules were counted by the machine, not worked out from time.
_COUNTERS = ("rapl", "nvml")


class Watcher(Protocol):
    """Is told how far a benchmark is."""

    def begin(self, clip: str, steps: int) -> None: ...

    def step(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Bench:
    options: BenchOptions
    models: BenchModels
    asked: Sequence[Asked]
    metered: bool
    ledger: Ledger


def run_bench(options: BenchOptions, watcher: Watcher, say: Callable[[str], None]) -> dict[str, Any]:
    """Measures all clips.

    Returns:
        The object of `--json`: what is unknown is null.

    Raises:
        UsageError: a tokenizer that the model does not take, or a clip that cannot be used.
        SourceError: a clip cannot be read.
        ModelError: the model cannot be had, or makes nothing that could be compared.
    """
    for source in options.clips:
        clip_source(source)
    device = resolve_device(options.device)
    models = BenchModels(options, device, say)
    model = models.reference
    asked = _asked(options, model)
    with ExitStack() as stack:
        meter = open_meter("auto", str(device))
        stack.callback(meter.close)
        metered = meter.method in _COUNTERS
        if not metered:
            say(f"joules are left out: no counter of energy here ({meter.describe()})")
        ledger = stack.enter_context(Ledger(meter))
        bench = _Bench(options, models, asked, metered, ledger)
        clips = {}
        for source in options.clips:
            clip = read_clip(
                source,
                Preprocessor(model.input),
                fps=options.fps,
                first=options.warmup_frames,
                limit=options.max_frames,
                on_notice=lambda notice: say(notice.message),
            )
            clips[clip.name] = _one(bench, clip, watcher)
    own = models.own.computed
    return {
        "model": model.name,
        "device": str(device),
        "precision": own.precision,
        "runtime": own.runtime,
        "fit": fit_of(model.input),
        "size": [model.input.width, model.input.height],
        "fps": options.fps,
        "batch": options.batch,
        "energy": meter.method if metered else None,
        "machine": machine(),
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "clips": clips,
    }


def _asked(options: BenchOptions, model: Model) -> list[Asked]:
    """What was asked for, else every tokenizer that the model takes; `full` is there in any case."""
    given = options.tokenizers
    if given is None:
        given = [Asked(TOKENIZERS[name]) for name in model.tokenizers]
    for one in given:
        kind_for(one.kind.name, model)
    return [one for one in given if one.kind.name != FullTokenizer.name]


def _one(bench: _Bench, clip: Clip, watcher: Watcher) -> dict[str, Any]:
    options, models = bench.options, bench.models
    learning_s: float | None = None

    @functools.cache
    def words() -> Vocabulary:
        nonlocal learning_s
        model = models.reference
        assert model.patch_size is not None
        started = time.monotonic()
        images = [frame.image for frame in clip.first]
        learned = learn_words(images, model.input, model.patch_size, options.words, device=model.device)
        learning_s = time.monotonic() - started
        return learned

    if not clip.first and any(one.wants_words for one in bench.asked):
        raise UsageError(f"{clip.name} is too short to learn words from; give a longer clip")
    reference, own = Engine(models.reference), Engine(models.own)
    arms = [
        full_arm(reference),
        *models.full_arms(clip),
        *tokenizer_arms(own, bench.asked, words),
        *control_arms(own, clip.sampled),
    ]
    batches = -(-len(clip.sampled) // options.batch)
    watcher.begin(clip.name, batches * len(arms))
    load_before = os.getloadavg()[0]
    measured = measure(clip.sampled, arms, options.batch, bench.ledger, watcher.step)
    return {
        "frames": len(clip.sampled),
        "load": [round(load_before, 2), round(os.getloadavg()[0], 2)],
        "warm_up": {
            "frames": len(clip.first),
            "share": 1.0,
            "learning_s": None if learning_s is None else round(learning_s, 3),
        },
        "full_ms": round(1000 * sum(measured[0].wall_s) / len(clip.sampled), 3),
        "methods": method_figures(measured, bench.metered, models.own.device.type == "cuda"),
    }
