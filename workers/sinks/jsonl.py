"""Results as lines of a file."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pipeline.errors import UsageError
from pipeline.outputs.files import write_all
from workers.access.files import allowed_file
from workers.settings.schema import AccessSettings
from workers.sinks.settings import SinkSettings
from workers.sinks.sink import SinkError

_START = b'{"stream":'
_STEP = 64 * 1024
# Results may be private. For others to read a file, make it first: one that is there keeps its mode.
_PRIVATE = 0o600


def _jsonl_path(path: str) -> str:
    if not path.endswith(".jsonl") or "\0" in path:
        # Otherwise a stream could be made to write into any file of the folders, clips too.
        raise ValueError("the file of a jsonl sink must end in .jsonl")
    return path


class JsonlSettings(SinkSettings):
    """Adds a line per result to a file.

    Attributes:
        path: a full path inside the folders that the service allows, ending in .jsonl.
    """

    schemes: ClassVar[tuple[str, ...]] = ("",)
    field: ClassVar[str] = "path"

    kind: Literal["jsonl"] = "jsonl"
    path: Annotated[str, Field(max_length=4096), AfterValidator(_jsonl_path)]

    @property
    def display(self) -> str:
        """The path."""
        return self.path

    def check_access(self, access: AccessSettings) -> None:
        """See `SinkSettings`."""
        refusal = f"the sink {self.path} may not be written"
        real = allowed_file(Path(self.path), access, refusal)
        if real.suffix != ".jsonl":
            raise UsageError(f"{refusal}: it leads to a file that does not end in .jsonl")

    def open(self, stream: str, access: AccessSettings) -> JsonlFile:  # noqa: ARG002
        """See `SinkSettings`."""
        return JsonlFile(Path(self.path).resolve())


class JsonlFile:
    """Adds whole lines, on the disk when `write` returns. Several streams may share a file.

    It is opened for every batch, so a file that was moved away (logrotate) is begun anew, for its user alone;
    one that is there keeps its mode. A line that a
    crash cut short is taken out before the next one is written.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, results: Sequence[bytes]) -> None:
        """See `Sink`."""
        try:
            new = not self._path.exists()
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _PRIVATE)
            try:
                _append(fd, b"".join(line + b"\n" for line in results))
            finally:
                os.close(fd)
            if new:
                _sync_folder(self._path.parent)
        except OSError as error:
            raise SinkError(
                f"cannot write {self._path}: {error.strerror or error}; make room or mend the folder"
            ) from error

    def close(self) -> None:
        """See `Sink`."""


def _append(fd: int, data: bytes) -> None:
    # Other streams of this machine may write to the same file.
    fcntl.flock(fd, fcntl.LOCK_EX)
    _mend(fd)
    size = os.fstat(fd).st_size
    try:
        write_all(fd, data)
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, size)
        raise


def _mend(fd: int) -> None:
    """Makes the file end with a whole line; only what we began ourselves is taken out."""
    size = os.fstat(fd).st_size
    tail = b""
    while len(tail) < size and b"\n" not in tail:
        tail = os.pread(fd, min(len(tail) + _STEP, size), max(size - len(tail) - _STEP, 0))
    rest = tail[tail.rfind(b"\n") + 1 :]
    if not rest:
        return
    if rest[: len(_START)] == _START[: len(rest)] and not _whole(rest):
        os.ftruncate(fd, size - len(rest))
    else:
        write_all(fd, b"\n")


def _whole(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    # The name of a new file is not safe before its folder is.
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
