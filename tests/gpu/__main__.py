"""Checks and figures on a CUDA GPU. Needs Python, torch, timm, OpenCV and the file of `tests.gpu.clips`.

    python -m tests.gpu --clips build/gpu-clips.npz

Every check prints a line that starts with PASS, FAIL or SKIP; the exit code is 1 when one failed. Figures go
to benchmarks/results/gpu.json. With `--device cpu` the same code runs on the CPU, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from tests.gpu.clips import read
from tests.gpu.correctness import check_families, check_plan_does_not_wait
from tests.gpu.energy import check_meter
from tests.gpu.graphs import check_graphed_engine, check_passes, measure_graphs
from tests.gpu.races import check_words_are_whole
from tests.gpu.report import Report
from tests.gpu.speed import measure, measure_new_lengths
from tests.gpu.whole import check_engine, check_heads, check_lengths, check_saliency, check_swap

RESULTS = Path("benchmarks/results/gpu.json")


def main() -> int:
    """Runs everything; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=Path, default=Path("build/gpu-clips.npz"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a measured window")
    parser.add_argument("--repeats", type=int, default=2, help="windows per setting, interleaved")
    parser.add_argument("--meter-seconds", type=float, default=10.0, help="length of the meter check")
    parser.add_argument("--models", nargs="+", default=["vit_small_patch16_224", "vit_base_patch16_224"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 64])
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("FAIL no CUDA GPU: torch sees none")
        return 1
    clips = read(options.clips)
    report = Report()
    with torch.inference_mode():
        check_families(device, report)
        check_plan_does_not_wait(device, clips, report)
        check_words_are_whole(device, report)
        check_lengths(device, report)
        check_heads(device, report)
        check_engine(device, clips, report)
        check_saliency(device, clips, report)
        check_swap(device, clips, report)
        check_passes(device, report)
        check_graphed_engine(device, clips, report)
    figures: dict[str, Any] = {"meter": check_meter(device, clips, options.meter_seconds, report)}
    figures["new lengths"] = measure_new_lengths(device, clips["bikes"][0], options.models[0], report)
    with torch.inference_mode():
        figures["graphs"] = measure_graphs(device, options.models[0], clips, report)
    figures["speed"] = measure(
        device, clips["bikes"], options.models, options.batches, options.seconds, options.repeats
    )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"machine": _machine(device), "figures": figures}, indent=1) + "\n")
    print(f"figures: {options.out}")
    print(report.closing_line())
    return 1 if report.failed else 0


def _machine(device: torch.device) -> dict[str, Any]:
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {"gpu": gpu, "python": platform.python_version(), "torch": torch.__version__}


if __name__ == "__main__":
    sys.exit(main())
