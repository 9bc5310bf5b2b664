"""The NVML meter and the ledger on a real card."""

from __future__ import annotations

import time

import pytest
import torch

from pipeline.energy import Ledger, NvmlMeter, open_meter

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU"),
]


def test_work_on_the_card_is_settled_within_what_it_can_draw() -> None:
    meter = open_meter("auto", "cuda")
    assert isinstance(meter, NvmlMeter), meter.describe()
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    # The context and the libraries are set up before the clock runs.
    (a @ a).sum().item()
    spans: list[tuple[float, float]] = []
    with Ledger(meter) as ledger:
        until = time.monotonic() + 5
        while time.monotonic() < until:
            start = time.monotonic()
            for _ in range(20):
                a @ a
            torch.cuda.synchronize()
            spans.append((start, time.monotonic()))
            ledger.record(*spans[-1], [1.0], [len(spans) - 1])
        ledger.flush()
        totals = ledger.totals()
    settled = {key: energy for key, energy in ledger.settled() if energy.settled}
    meter.close()
    print(f"{meter.describe()}; {totals}; idle {meter.idle_watts} W, limit {meter.max_watts} W")
    assert len(settled) > 0.9 * len(spans)
    seconds = sum(spans[key][1] - spans[key][0] for key in settled)
    watts = sum(e.joules for e in settled.values()) / seconds
    assert meter.idle_watts is not None
    assert meter.max_watts is not None
    assert meter.idle_watts < watts < meter.max_watts
    parts = totals.frames_joules + totals.idle_joules + totals.unattributed_joules
    assert parts == pytest.approx(totals.counter_joules, rel=1e-9)
