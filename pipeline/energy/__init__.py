"""What each frame cost in joules: meters read a counter, the ledger splits it among frames.

meter = open_meter("auto", device="cuda")
with Ledger(meter) as ledger:
    ledger.record(start_s, end_s, weights=flops_per_frame, keys=frame_numbers)   # provisional figures
    ledger.settled()                                                             # settled figures, later
    ledger.flush()
    print(ledger.totals())
"""

from pipeline.energy.choose import open_meter
from pipeline.energy.curve import EnergyCurve, Segment
from pipeline.energy.estimate import EstimateMeter
from pipeline.energy.ledger import Ledger, LedgerTotals
from pipeline.energy.meter import Meter, MeterError, MeterOptions, NoMeter, ReadError, Reading
from pipeline.energy.nvml import NvmlMeter, open_nvml
from pipeline.energy.rapl import RaplMeter, open_rapl
from pipeline.energy.registry import METERS
from pipeline.energy.replay import ReplayMeter

__all__ = [
    "METERS",
    "EnergyCurve",
    "EstimateMeter",
    "Ledger",
    "LedgerTotals",
    "Meter",
    "MeterError",
    "MeterOptions",
    "NoMeter",
    "NvmlMeter",
    "RaplMeter",
    "ReadError",
    "Reading",
    "ReplayMeter",
    "Segment",
    "open_meter",
    "open_nvml",
    "open_rapl",
]
