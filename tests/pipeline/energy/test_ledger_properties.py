"""Design invariant 3 for readings and batches of any kind: no joule is lost and none is made."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.energy import Ledger, Reading, ReplayMeter

# What a reading may be: the time since the last, what the counter grew by; None for one that failed.
moves = st.lists(
    st.tuples(st.floats(0.001, 2), st.one_of(st.just(0.0), st.floats(0, 500), st.none())),
    min_size=2,
    max_size=40,
)
# When a batch begins after the one before began, how long it takes, and what its frames weigh.
batches = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0.0001, 1), st.lists(st.floats(0, 10), min_size=1, max_size=4)),
    max_size=20,
)


@given(moves, batches, st.booleans(), st.sampled_from([None, 300.0]))
def test_frames_idle_time_and_the_rest_are_what_was_counted(
    moves: list[tuple[float, float | None]],
    batches: list[tuple[float, float, list[float]]],
    up_to_date: bool,
    max_watts: float | None,
) -> None:
    times = accumulate(step for step, _ in moves)
    counter = accumulate(joules or 0.0 for _, joules in moves)
    readings = [
        None if grown is None else Reading(t_s, joules)
        for (_, grown), t_s, joules in zip(moves, times, counter, strict=True)
    ]
    meter = ReplayMeter(readings, up_to_date=up_to_date, max_watts=max_watts)
    ledger, start_s, frames, figures = Ledger(meter, clock=meter.clock), 0.0, 0, {}
    waiting = []
    for after, took, weights in batches:
        start_s += after
        waiting.append((start_s + took, start_s, weights))
        # Batches of a meter that is always up to date do not overlap.
        start_s += took if up_to_date else 0
    waiting.sort()
    for _ in readings:
        ledger.poll()
        while waiting and waiting[0][0] <= meter.clock():
            end_s, began_s, weights = waiting.pop(0)
            keys = range(frames, frames + len(weights))
            figures.update(zip(keys, ledger.record(began_s, end_s, weights, keys), strict=True))
            frames += len(weights)
        figures.update(ledger.settled())
    ledger.flush(timeout_s=0)
    figures.update(ledger.settled())

    totals, good = ledger.totals(), [reading.joules for reading in readings if reading is not None]
    if not good:
        assert totals.counter_joules is None
        return
    assert totals.counter_joules is not None
    parts = totals.frames_joules, totals.idle_joules, totals.unattributed_joules
    assert all(part is not None and part >= -1e-9 for part in parts)
    assert sum(part or 0.0 for part in parts) == pytest.approx(totals.counter_joules, rel=1e-9, abs=1e-9)
    assert totals.counter_joules == pytest.approx(sum(b - a for a, b in pairwise(good)), rel=1e-9, abs=1e-9)
    settled = [energy.joules for energy in figures.values() if energy.settled]
    assert math.fsum(settled) == pytest.approx(totals.frames_joules, rel=1e-9, abs=1e-9)
    assert totals.settled_frames + totals.unsettled_frames == frames == len(figures)
