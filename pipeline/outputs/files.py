"""Opening a file to write to, with an error that names the option it came from."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path

from pipeline.errors import UsageError, VwtError
from vocab.paths import exists, is_folder

STDOUT = "-"
_STDOUT_FD = 1


def check_output(path: str | Path, option: str) -> None:
    """Refuses what `open_output` would refuse, and leaves what is there alone.

    Args:
        path, option: as of `open_output`.

    Raises:
        UsageError: when it cannot be written.
    """
    place = Path(path)
    if str(path) == STDOUT:
        return
    code = None
    if is_folder(place):
        code = errno.EISDIR
    elif not is_folder(place.parent):
        code = errno.ENOENT
    elif not os.access(place if exists(place) else place.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise UsageError(_refusal(path, option, OSError(code, os.strerror(code))))


def check_folder(folder: str | Path, option: str) -> None:
    """Makes a folder where there is none, and refuses one that nothing can be written to.

    Args:
        folder: that will be written to.
        option: the option that named it.

    Raises:
        UsageError: when nothing can be.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        cause = "it is a file" if isinstance(error, FileExistsError) else error.strerror or str(error)
        raise UsageError(
            f"cannot write to {option} {folder}: {cause}; give a folder that can be written"
        ) from None


def open_output(path: str | Path, option: str) -> int:
    """Opens `path` for writing; what was there is replaced, as most tools do.

    Args:
        path: a file, or "-" for standard output.
        option: the command line option that named it, for the error.

    Returns:
        A file descriptor of the caller's own: closing it never closes standard output.

    Raises:
        UsageError: when it cannot be written.
    """
    try:
        if str(path) == STDOUT:
            return os.dup(_STDOUT_FD)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(_refusal(path, option, error)) from error


def write_all(fd: int, data: bytes) -> None:
    """Writes every byte of `data`, also where the system takes them in pieces (a full pipe).

    Raises:
        OSError: as `os.write` does.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def write_failure(path: str | Path, error: OSError) -> VwtError:
    """What to say when writing fails later on: a full disk, a share that went away."""
    cause = error.strerror or str(error)
    return VwtError(f"cannot write to {path}: {cause}; what was written so far is kept")


def _refusal(path: str | Path, option: str, error: OSError) -> str:
    cause = error.strerror or str(error)
    mend = f"give {option} a file that can be written"
    if isinstance(error, FileNotFoundError) and str(path):
        mend = f"create the folder {Path(path).parent} first"
    elif isinstance(error, IsADirectoryError):
        mend = f"give {option} a file inside it"
    return f"cannot write {option} {path}: {cause}; {mend}"


def write_json(value: object, path: str | Path, option: str, indent: int | None = 2) -> None:
    """Writes one JSON object.

    Args:
        value: what `json` takes, without NaN or infinity.
        path: a file, replaced; "-" is standard output.
        option: the option the path came from.
        indent: spaces per level; None for one line.

    Raises:
        UsageError: when `path` cannot be opened.
        VwtError: when it cannot be written.
    """
    text = json.dumps(value, indent=indent, allow_nan=False) + "\n"
    fd = open_output(path, option)
    try:
        write_all(fd, text.encode())
    except OSError as error:
        raise write_failure(path, error) from error
    finally:
        os.close(fd)
