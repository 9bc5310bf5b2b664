"""The systemd unit."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.deploy.files import DEPLOY


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine: apt-get install systemd")
    # What it starts is installed only where it is used.
    unit = (DEPLOY / "vwt-run@.service").read_text().replace("/opt/vwt/bin/vwt", "/bin/true")
    copy = tmp_path / "vwt-run@gate.service"
    copy.write_text(unit)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )

    ours = [line for line in done.stderr.splitlines() if "vwt-run" in line]
    assert ours == []
    assert done.returncode == 0, done.stderr
