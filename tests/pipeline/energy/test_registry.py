"""A meter is one file and one line of the registry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.energy import METERS, MeterError, MeterOptions, NoMeter, open_meter
from pipeline.energy.registry import meter_choices, meter_help
from tests.pipeline.energy.wall import WALL, WallMeter


def test_a_meter_is_chosen_by_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(METERS, "wall", WALL)
    assert isinstance(open_meter("wall", "cpu"), WallMeter)
    assert "wall (a socket that draws 10 W)" in meter_help()
    assert meter_choices() == ("auto", "nvml", "rapl", "estimate", "wall", "none")


def test_auto_takes_the_first_line_that_measures_the_device_and_can_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("pipeline.energy.rapl.POWERCAP", tmp_path)
    for name in ("nvml", "estimate"):
        monkeypatch.delitem(METERS, name)
    no_meter = open_meter("auto", "cpu")
    assert isinstance(no_meter, NoMeter)
    assert "no RAPL counter" in (no_meter.reason or "")
    monkeypatch.setitem(METERS, "wall", WALL)
    assert open_meter("auto", "cpu").method == "wall"
    assert "no energy counter is known" in (open_meter("auto", "cuda").reason or "")


def test_every_line_names_itself_and_opens_its_own_meter_or_says_why_not() -> None:
    for name, kind in METERS.items():
        assert kind.name == name
        try:
            meter = kind.open(MeterOptions(kind.device))
        except MeterError:
            continue
        assert meter.method == name
        meter.close()


def without_pynvml(program: str) -> str:
    """What a program prints where the binding to NVML is not installed."""
    hidden = f"import sys; sys.modules['pynvml'] = None\n{program}"
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_the_binding_to_nvml_everything_imports_and_auto_says_what_to_install() -> None:
    program = """if True:
        import tests.gpu.__main__
        import workers.inference.device_ledger
        from pipeline.energy import METERS, MeterOptions, open_meter
        print(open_meter("auto", "cpu").method)
        try:
            METERS["nvml"].open(MeterOptions("cuda", "GPU-0"))
        except Exception as error:
            print(type(error).__name__, error)
    """
    method, error = without_pynvml(program).splitlines()
    assert method in ("rapl", "estimate")
    assert error == "MeterError the binding to NVML is not installed: pip install nvidia-ml-py"
