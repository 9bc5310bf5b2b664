"""The processes that Ray starts on this machine: none dies unseen, and none is left behind."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

import psutil

from pipeline.errors import ServiceError
from vocab.embedded import GUARD_NAME

# Without these nothing is scheduled, restarted or answered any more. The others Ray starts again by itself.
_NEEDED = ("gcs_server", "raylet")
_PR_SET_CHILD_SUBREAPER = 36
_END_S = 5.0


class RayProcesses:
    """What Ray runs here, as children of this process; call `find` once Ray is up."""

    def __init__(self) -> None:
        self._needed: dict[str, psutil.Process] = {}
        if sys.platform == "linux":
            # Whoever loses its parent becomes our child: it must not run on when we end.
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def find(self) -> None:
        """Finds the processes that Ray cannot do without."""
        children = psutil.Process().children()
        self._needed = {process.name(): process for process in children if process.name() in _NEEDED}

    @property
    def dead(self) -> str | None:
        """The name of a needed process that has ended; None while all of them run."""
        return next((name for name, process in self._needed.items() if not _runs(process)), None)

    def check(self) -> None:
        """Looks whether Ray can go on.

        Raises:
            ServiceError: it cannot.
        """
        name = self.dead
        if name is not None:
            raise ServiceError(
                f"Ray's process {name} has ended, and nothing runs without it: start the service again, "
                "streams go on where they were"
            )

    def end(self) -> None:
        """Ends every one of them, also those whose parent has ended, at once."""
        for _ in range(3):
            left = _descendants()
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            if not left:
                return
            psutil.wait_procs(left, _END_S)


def _descendants() -> list[psutil.Process]:
    """All processes below this one but those of the embedded Redis."""
    found: list[psutil.Process] = []
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):
            if GUARD_NAME not in child.cmdline() and _runs(child):
                found += [*child.children(recursive=True), child]
    return found


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
