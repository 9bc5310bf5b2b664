"""Runs cases in a process of their own, with a limit on time and on memory."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import resource
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Self

# A damaged file of a few kB is no reason for more.
_LIMIT_S = 20.0
_LIMIT_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads what others made.

    Attributes:
        make: a damaged input, the same for the same random numbers, and the suffix of its name.
        read: reads it; raises one of REFUSALS, or takes it.
    """

    make: Callable[[Path, Random], tuple[bytes, str]]
    read: Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Finding:
    """A case that was neither taken nor refused.

    Attributes:
        why: what happened instead.
        name: of its input.
        data: the input.
    """

    why: str
    name: str
    data: bytes

    def keep(self, folder: Path) -> Path:
        """Writes the input where it can be looked at."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        path.write_bytes(self.data)
        return path


class Runner:
    """Runs case after case in one other process, and another one where that is lost.

    Args:
        seed: of all cases.
        folder: for inputs while they are read.
        limit_s: how long a case may take.
        module: where TARGETS and REFUSALS are.
    """

    def __init__(
        self, seed: int, folder: Path, limit_s: float = _LIMIT_S, module: str = "tests.fuzz.targets"
    ) -> None:
        self._seed = seed
        self._folder = folder
        self._limit_s = limit_s
        self._module = module
        self._context = multiprocessing.get_context("spawn")
        self._begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def run(self, target: str, number: int) -> str | Finding:
        """Runs a case: "taken", "refused" or a finding."""
        self._pipe.send((target, number))
        try:
            if self._pipe.poll(self._limit_s):
                outcome: str = self._pipe.recv()
            else:
                outcome = f"it was not done after {self._limit_s:g} s"
        except EOFError:
            self._process.join()
            outcome = f"the process ended with {self._process.exitcode}"
        if outcome in ("taken", "refused"):
            return outcome
        self._end()
        self._begin()
        (path,) = self._folder.glob(f"{target}-{number}.*")
        finding = Finding(outcome, f"{target}-{self._seed}-{number}{path.suffix}", path.read_bytes())
        path.unlink()
        return finding

    def _begin(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process = self._context.Process(
            target=_serve, args=(other, self._seed, self._folder, self._module)
        )
        self._process.start()
        other.close()
        assert self._pipe.poll(120), "the process did not start"
        self._pipe.recv()

    def _end(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, seed: int, folder: Path, module: str) -> None:
    found = importlib.import_module(module)
    targets, refusals = found.TARGETS, found.REFUSALS
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _LIMIT_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Decoders tell there of every damage.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    pipe.send("ready")
    while True:
        try:
            target, number = pipe.recv()
        except EOFError:
            return
        data, suffix = targets[target].make(folder, Random(f"{seed} {target} {number}"))
        path = folder / f"{target}-{number}{suffix}"
        path.write_bytes(data)
        try:
            targets[target].read(path)
            outcome = "taken"
        except refusals:
            outcome = "refused"
        except Exception:
            # It goes on in another process, and that removes the input.
            pipe.send(traceback.format_exc(limit=-3))
            continue
        path.unlink()
        pipe.send(outcome)
