"""Processes that tests do bad things to."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import Any


class Breakable:
    """A process of our own, kept in `_process`, that can be killed, frozen and let go on."""

    _process: subprocess.Popen[Any]

    def kill(self) -> None:
        """Ends it at once, as a power cut would."""
        self._process.kill()
        self._process.wait()

    def halt(self) -> None:
        """Freezes it: connections stay open and say nothing."""
        os.kill(self._process.pid, signal.SIGSTOP)
        # Until it has stopped, which takes a while on a busy machine, it still answers.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """Lets it go on after `halt`."""
        os.kill(self._process.pid, signal.SIGCONT)
