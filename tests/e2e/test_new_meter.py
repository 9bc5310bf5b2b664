"""A meter that is in the registry is one that the command offers and takes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.command import NULL

PROGRAM = """if True:
    from pipeline.energy import METERS
    from tests.pipeline.energy.wall import WALL
    METERS[WALL.name] = WALL
    from workers.cli import main
    main()
"""


def vwt(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_help_offers_it_and_a_run_is_metered_by_it(tmp_path: Path) -> None:
    text = " ".join(vwt("run", "--help").split())
    assert "--meter [auto|nvml|rapl|estimate|wall|none]" in text
    assert "wall (a socket that draws 10 W)" in text

    summary = tmp_path / "summary.json"
    arguments = ("--max-frames", "5", "--json-summary", str(summary), "--quiet")
    vwt("run", "sample:carphone", *NULL[:-1], "wall", *arguments)
    energy = json.loads(summary.read_text())["energy"]
    assert energy["method"] == "wall"
    assert energy["joules"] > 0
