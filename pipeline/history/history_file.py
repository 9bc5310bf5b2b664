"""A history on disk: one file of a fixed size, in which the newest record takes the place of the oldest."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

from pipeline.defaults import DEFAULT_HISTORY_BYTES
from pipeline.errors import UsageError, VwtError
from pipeline.history.moments import (
    Moment,
    Records,
    Things,
    Widths,
    fitted,
    pack,
    record_type,
    renumbered,
    unpack,
)
from pipeline.results import Prediction
from vocab.paths import exists, is_folder

SUFFIX = ".history"
_FORMAT = "vwt-history/1"
_HEAD_BYTES = 4096
_WIDEST = 2**20


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose history it is, and how its embeddings were made: what is looked for is embedded alike.

    Attributes:
        stream: its name.
        model, weights, names, fit, size: as `load_model` takes them.
    """

    stream: str
    model: str
    weights: str | None = None
    names: str | None = None
    fit: str | None = None
    size: str | None = None

    @property
    def alike(self) -> Origin:
        """The same without the stream: equal where embeddings may be compared."""
        return replace(self, stream="")


class HistoryFile:
    """Writes the history of one stream. What was written outlives the process; its size never grows.

    Args:
        folder: made if it is not there; the file is the stream's name.
        origin: whose, and how it is made.
        widths: of its records.
        most_bytes: of the file.
        anew: whether to begin without what is there, as for a file that is read from its beginning.

    Raises:
        UsageError: it cannot be written, somebody else is writing it, or it is of another model.
    """

    def __init__(
        self,
        folder: Path,
        origin: Origin,
        widths: Widths,
        most_bytes: int = DEFAULT_HISTORY_BYTES,
        anew: bool = False,
    ) -> None:
        # A name may hold what no file name may.
        self.path = folder / f"{quote(origin.stream, safe=' ')}{SUFFIX}"
        self._capacity = max(1, (most_bytes - _HEAD_BYTES) // record_type(widths).itemsize)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            before = [] if anew or not exists(self.path) else self._before(origin, widths)
            self._fd = self._open(origin, widths, before)
        except OSError as error:
            raise UsageError(f"cannot write the history {self.path}: {error.strerror or error}") from error
        self._next = len(before) + 1

    def add(self, moment: Moment, prediction: Prediction, things: Things | None = None) -> None:
        """Appends a moment and what was seen, of the widths given; the oldest goes when the file is full.

        Raises:
            VwtError: the disk takes no more.
        """
        record = pack(self._next, moment, prediction, things)
        slot = (self._next - 1) % self._capacity
        try:
            os.pwrite(self._fd, record, _HEAD_BYTES + slot * len(record))
        except OSError as error:
            raise VwtError(f"cannot write the history {self.path}: {error.strerror or error}") from error
        self._next += 1

    def close(self) -> None:
        """Ends writing."""
        os.close(self._fd)

    def __enter__(self) -> HistoryFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _before(self, origin: Origin, widths: Widths) -> list[bytes]:
        """What is there, numbered anew from 1; as much of the newest as has room."""
        there, records = read_history(self.path)
        kept = fitted(records, widths)
        if there.alike != origin.alike or kept is None:
            raise UsageError(
                f"{self.path} is a history made with {there.model}, which cannot be compared with "
                f"{origin.model} as it is loaded now: name another folder, or delete that file"
            )
        newest = kept[-self._capacity :].copy()
        return [renumbered(newest[at], at + 1) for at in range(len(newest))]

    def _open(self, origin: Origin, widths: Widths, before: list[bytes]) -> int:
        """Writes the file anew beside the old one, which it then replaces: there always is a whole one."""
        head = json.dumps({"format": _FORMAT, "widths": asdict(widths), **asdict(origin)}).encode()
        if len(head) > _HEAD_BYTES:
            raise UsageError("the names of stream, model and weights are too long for a history")
        if exists(self.path):
            with self.path.open("rb") as old:
                self._lock(old.fileno())
        fresh = self.path.with_suffix(".new")
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            self._lock(fd)
            os.pwrite(fd, head.ljust(_HEAD_BYTES), 0)
            os.pwrite(fd, b"".join(before), _HEAD_BYTES)
            fresh.replace(self.path)
        except BaseException:
            os.close(fd)
            raise
        return fd

    def _lock(self, fd: int) -> None:
        # Not everywhere; searching needs none.
        import fcntl

        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{self.path} is being written by another run: give this one another --name or folder"
            ) from error


def read_history(path: Path) -> tuple[Origin, Records]:
    """A history as it is now; somebody may be writing it.

    Returns:
        Whose it is, and its records, oldest first.

    Raises:
        UsageError: it cannot be read, or is no history.
    """
    try:
        data = path.read_bytes()
        told = json.loads(data[:_HEAD_BYTES])
        if told.pop("format") != _FORMAT:
            raise ValueError("of another version")
        widths = Widths(**told.pop("widths"))
        # Before there were things nothing was said of them.
        wide = astuple(widths)
        if not (all(type(one) is int and 0 <= one < _WIDEST for one in wide) and widths.frame):
            raise ValueError("no widths")
        origin = Origin(**{field.name: told[field.name] for field in fields(Origin)})
        if not all(isinstance(text, str) for text in (origin.stream, origin.model)) or not all(
            text is None or isinstance(text, str) for text in asdict(origin).values()
        ):
            raise ValueError("no names")
        # Halves of characters cannot be shown.
        (origin.stream + origin.model).encode()
    except OSError as error:
        raise UsageError(f"cannot read the history {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no history that `vwt run --index` wrote") from error
    return origin, unpack(data[_HEAD_BYTES:], widths)


def histories(folder: Path) -> list[Path]:
    """The files of all streams in a folder, by name.

    Raises:
        UsageError: there is none.
    """
    found = sorted(folder.glob(f"*{SUFFIX}")) if is_folder(folder) else []
    if not found:
        raise UsageError(f"no history in {folder}: fill it with `vwt run SOURCE --index {folder}`")
    return found
