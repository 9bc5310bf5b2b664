"""Design invariant 3: over any span, frames + idle + unattributed = counter difference."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from pipeline.energy import Ledger, Reading, ReplayMeter
from pipeline.results import Energy
from tests.pipeline.energy.counters import bursts, ticking

SECONDS = 12.0


def counted(readings: list[Reading | None]) -> float:
    """What the counter counted, resets excluded: the truth the ledger is held to."""
    good = [r.joules for r in readings if r is not None]
    return sum(max(b - a, 0.0) for a, b in pairwise(good))


def batches(rng: random.Random, overlap: bool) -> list[tuple[float, float]]:
    spans, t = [], 0.05
    while t < SECONDS - 1:
        end = t + rng.choice([0.005, 0.02, 0.3]) * rng.uniform(0.5, 1.5)
        spans.append((t, end))
        t = (t if overlap and rng.random() < 0.4 else end) + rng.choice([0.0, 0.001, 0.1])
    return spans


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("trouble", ["none", "failures", "resets", "both"])
@pytest.mark.parametrize("seed", range(6))
def test_every_counted_joule_is_a_frames_or_idle_or_unattributed(
    seed: int, trouble: str, overlap: bool
) -> None:
    rng = random.Random(f"{seed}{trouble}{overlap}")
    power = bursts(rng, SECONDS, low=40, high=700)
    readings = ticking(
        power,
        rng,
        SECONDS,
        fails=lambda _: trouble in ("failures", "both") and rng.random() < 0.01,
        resets_at_s=(3.3, 7.1) if trouble in ("resets", "both") else (),
    )
    meter = ReplayMeter(readings, idle_watts=40, max_watts=900)
    ledger = Ledger(meter, clock=meter.clock)
    waiting = [
        (end, start, [rng.random() for _ in range(rng.randint(1, 8))]) for start, end in batches(rng, overlap)
    ]
    waiting.sort()
    frames, recorded, figures = 0, 0.0, {}
    for i in range(len(readings)):
        ledger.poll()
        while waiting and waiting[0][0] + 0.01 < meter.clock():
            end, start, weights = waiting.pop(0)
            ledger.record(start, end, weights, range(frames, frames + len(weights)))
            frames += len(weights)
        figures.update(ledger.settled())
        if i % 50 == 49:
            totals = ledger.totals()
            recorded = counted(readings[: i + 1])
            parts = totals.frames_joules + totals.idle_joules + totals.unattributed_joules
            assert parts == pytest.approx(recorded, rel=1e-9, abs=1e-6)
    assert recorded > 0
    ledger.flush(timeout_s=0.001)
    figures.update(ledger.settled())

    totals = ledger.totals()
    truth = counted(readings)
    assert totals.counter_joules == pytest.approx(truth, rel=1e-9)
    assert totals.frames_joules + totals.idle_joules + totals.unattributed_joules == pytest.approx(
        truth, rel=1e-9
    )
    check_figures(figures, frames, totals.frames_joules, totals.settled_frames, clean=trouble == "none")


def check_figures(
    figures: dict[int, Energy], frames: int, joules: float, settled: int, *, clean: bool
) -> None:
    """Every frame got one final figure; the settled ones sum to the total; null ones say why."""
    assert sorted(figures) == list(range(frames))
    known = [e for e in figures.values() if e.settled]
    assert sum(e.joules for e in known) == pytest.approx(joules, rel=1e-9)
    assert len(known) == settled
    assert all(e.uncertainty_joules is not None and e.above_idle_joules <= e.joules for e in known)
    assert all(e.reason for e in figures.values() if not e.settled)
    # Only what ran before the first tick or after the last may lack a figure when nothing failed.
    assert len(known) > (0.97 if clean else 0.3) * frames


@pytest.mark.parametrize("seed", range(10))
def test_settled_figures_are_as_near_the_truth_as_they_say(seed: int) -> None:
    rng = random.Random(seed)
    power = bursts(rng, SECONDS, low=60, high=700)
    readings = ticking(power, rng, SECONDS, poll_s=(1e-4, 2e-4))
    meter = ReplayMeter(readings, max_watts=700)
    ledger = Ledger(meter, clock=meter.clock)
    spans = batches(rng, overlap=False)
    for _ in readings:
        ledger.poll()
    for i, (start, end) in enumerate(spans):
        ledger.record(start, end, [1.0], [i])
    ledger.flush(timeout_s=0.001)
    settled = [(spans[i], e) for i, e in ledger.settled() if e.settled]
    assert len(settled) > 0.9 * len(spans)
    for (start, end), energy in settled:
        truth = power.joules(end) - power.joules(start)
        edges = 4 * 2e-4 * 700
        assert abs(energy.joules - truth) <= energy.uncertainty_joules + edges
