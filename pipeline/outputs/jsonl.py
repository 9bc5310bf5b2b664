"""Results as JSON lines."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pipeline.outputs.files import STDOUT, open_output, write_all, write_failure
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
        self._from_start = self.path != STDOUT
        # Bytes of whole lines.
        self._whole = 0

    def write(self, result: FrameResult) -> None:
        """Adds a result; see `write_line`."""
        self.write_line(result.to_json())

    def write_line(self, text: str) -> None:
        """Adds a line.

        Args:
            text: JSON without a line end.

        Raises:
            VwtError: when the system refuses the line, for example because the disk is full.
            BrokenPipeError: when who read our output has gone (`--out - | head`); not a failure, but there
                is no one left to run for.
            ValueError: when the sink is closed.
        """
        if self._fd is None:
            raise ValueError("the sink is closed")
        line = (text + "\n").encode()
        try:
            write_all(self._fd, line)
        except BrokenPipeError:
            raise
        except OSError as error:
            self._take_back()
            raise write_failure(self.path, error) from error
        self._whole += len(line)

    def _take_back(self) -> None:
        """Takes out the part of a line that could still be written, where that can be done."""
        assert self._fd is not None
        with suppress(OSError):
            # Standard output may stand behind what others wrote to the file.
            if self._from_start and stat.S_ISREG(os.fstat(self._fd).st_mode):
                os.ftruncate(self._fd, self._whole)

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
