"""The energy meter on real work."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from typing import Any

import torch

from pipeline.energy import Ledger, open_meter
from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer
from tests.gpu.correctness import Clips
from tests.gpu.report import Report

_GEOMETRY = Geometry(224, 224, 224, 224, 1, 1, 0, 0)


def check_meter(device: torch.device, clips: Clips, seconds: float, report: Report) -> dict[str, Any]:
    """Every joule of the counter is a frame's, idle or unattributed; the counter's tick is found."""
    meter = open_meter("auto", str(device))
    if meter.method == "none":
        report.skip("energy is conserved", meter.reason or "no meter")
        return {"method": "none", "reason": meter.reason}
    engine = Engine(load_model("vit_small_patch16_224", weights="random", device=device))
    frames = [Frame(FrameTimes(pts_s=None), image, _GEOMETRY) for image in clips["bikes"][:8]]
    engine.submit(frames, FullTokenizer()).result()
    settled = recorded = 0
    readings = []
    with Ledger(meter) as ledger:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            batch = engine.submit(frames, FullTokenizer()).result()
            costs = [output.flops for output in batch.frames]
            ledger.record(batch.start_s, batch.end_s, costs, range(recorded, recorded + len(costs)))
            recorded += len(costs)
            settled += sum(energy.settled for _, energy in ledger.settled())
            readings.append(meter.read())
        ledger.flush()
        settled += sum(energy.settled for _, energy in ledger.settled())
        totals = ledger.totals()
    assert totals.frames_joules is not None
    assert totals.idle_joules is not None
    assert totals.unattributed_joules is not None
    assert totals.counter_joules is not None
    parts = totals.frames_joules + totals.idle_joules + totals.unattributed_joules
    off = abs(parts - totals.counter_joules) / max(totals.counter_joules, 1e-9)
    report.check(off < 1e-6, f"{meter.method}: frames + idle + unattributed = counter within {off:.1e}")
    report.check(
        totals.counter_joules > 0, f"{meter.method}: the counter counts ({totals.counter_joules:.1f} J)"
    )
    tick_ms = None
    if not meter.up_to_date:
        report.check(settled > 0.9 * recorded, f"{meter.method}: {settled} of {recorded} frames settled")
        edges = [after.t_s for before, after in pairwise(readings) if after.joules != before.joules]
        gaps = [1000 * (later - earlier) for earlier, later in pairwise(edges)]
        tick_ms = round(statistics.median(gaps), 1) if gaps else None
        report.check(tick_ms is not None, f"{meter.method}: the counter ticks every {tick_ms} ms (median)")
    meter.close()
    return {
        "method": meter.method,
        "description": meter.describe(),
        "tick_ms_median": tick_ms,
        "counter_joules": totals.counter_joules,
        "frames_joules": totals.frames_joules,
        "idle_joules": totals.idle_joules,
        "unattributed_joules": totals.unattributed_joules,
        "span_s": totals.span_s,
        "idle_watts": meter.idle_watts,
        "frames_settled": settled,
        "frames_recorded": recorded,
    }
