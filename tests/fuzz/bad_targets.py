"""Readers that do what no reader may."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from random import Random

from tests.fuzz.cases import Target

REFUSALS = (ValueError,)


def _make(_folder: Path, random: Random) -> tuple[bytes, str]:
    return random.randbytes(8), ".bin"


def _hangs(_path: Path) -> None:
    signal.pause()


def _dies(_path: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _grows(_path: Path) -> None:
    bytearray(3 * 2**30)


def _raises(path: Path) -> None:
    raise KeyError(path.suffix)


def _refuses(_path: Path) -> None:
    raise ValueError("no")


TARGETS = {
    name: Target(_make, read)
    for name, read in {
        "hangs": _hangs, "dies": _dies, "grows": _grows, "raises": _raises, "refuses": _refuses
    }.items()
}  # fmt: skip
