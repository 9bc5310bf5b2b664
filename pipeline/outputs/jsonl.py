"""Results as JSON lines."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

from pipeline.outputs.files import open_output, write_all, write_failure
from pipeline.results import FrameResult


class JsonlWriter:
    """Writes one JSON object per line.

    Each line leaves the process in one unbuffered write: a killed run leaves whole lines, the last one at
    most cut short, and `tail -f` sees a result as soon as there is one.
    """

    def __init__(self, path: str | Path, option: str = "--out") -> None:
        """Opens `path`, replacing what was there; "-" is standard output.

        Raises:
            UsageError: when it cannot be written.
        """
        self.path = str(path)
        self._fd: int | None = open_output(path, option)

    def write(self, result: FrameResult) -> None:
        """Adds a result.

        Raises:
            VwtError: when the system refuses the line, for example because the disk is full.
            BrokenPipeError: when who read our output has gone (`--out - | head`); not a failure, but there
                is no one left to run for.
            ValueError: when the sink is closed.
        """
        if self._fd is None:
            raise ValueError("the sink is closed")
        line = result.to_json() + "\n"
        try:
            write_all(self._fd, line.encode())
        except BrokenPipeError:
            raise
        except OSError as error:
            raise write_failure(self.path, error) from error

    def close(self) -> None:
        """Closes the file; more than once does no harm.

        Raises:
            VwtError: when the system only now says that something was not written (network file systems).
        """
        fd, self._fd = self._fd, None
        if fd is None:
            return
        try:
            os.close(fd)
        except OSError as error:
            raise write_failure(self.path, error) from error

    def __enter__(self) -> JsonlWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
