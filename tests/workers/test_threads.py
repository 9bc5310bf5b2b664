import os
import subprocess
import sys

import pytest

from workers.threads import remember_more, share_cores

LENGTHS = """
from workers.threads import share_cores
share_cores()
import psutil, torch
from vocab.linear import linear_map
layer, process = linear_map(torch.zeros(256, 256)), psutil.Process()

def resident_after(lengths):
    for length in lengths:
        layer(torch.zeros(length, 256))
    return process.memory_info().rss

with torch.inference_mode():
    print(-resident_after(range(1, 201)) + resident_after(range(201, 501)))
"""

COMMAND = "from workers.cli import main; main(['models'])"


def openmp_settings(**environment: str) -> str:
    """What OpenMP says of its settings when the `vwt` command loads torch."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_DISPLAY_ENV": "verbose"}
    run = subprocess.run(
        [sys.executable, "-c", COMMAND], env=clean | environment, capture_output=True, text=True
    )
    if "OPENMP DISPLAY ENVIRONMENT" not in run.stderr or "GOMP_SPINCOUNT" not in run.stderr:
        pytest.skip("torch does not compute with GNU OpenMP here")
    return run.stderr


def test_threads_of_the_command_wait_briefly_before_they_sleep():
    assert "GOMP_SPINCOUNT = '1000'" in openmp_settings()


def test_what_the_user_has_set_stays():
    assert "GOMP_SPINCOUNT = '77'" in openmp_settings(GOMP_SPINCOUNT="77")
    assert "GOMP_SPINCOUNT = '1000'" not in openmp_settings(OMP_WAIT_POLICY="active")


def test_who_runs_many_settings_in_turn_may_remember_more(monkeypatch: pytest.MonkeyPatch):
    for given, kept in ((None, "4096"), ("77", "77")):
        monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
        if given is not None:
            monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", given)
        share_cores()
        remember_more()

        assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == kept


def test_new_lengths_of_batches_cost_no_memory():
    clean = {key: value for key, value in os.environ.items() if not key.endswith("CACHE_CAPACITY")}
    run = subprocess.run(
        [sys.executable, "-c", LENGTHS], env=clean, capture_output=True, text=True, check=True
    )
    assert int(run.stdout) < 30e6
