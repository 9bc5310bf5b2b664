import os
import subprocess
import sys

import pytest

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
    assert "GOMP_SPINCOUNT = '10000'" in openmp_settings()


def test_what_the_user_has_set_stays():
    assert "GOMP_SPINCOUNT = '77'" in openmp_settings(GOMP_SPINCOUNT="77")
    assert "GOMP_SPINCOUNT = '10000'" not in openmp_settings(OMP_WAIT_POLICY="active")
