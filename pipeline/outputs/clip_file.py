"""The file of an MP4 that grows: where the disk is full, it keeps what plays."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pipeline.outputs.files import open_output, write_all

_HEADER_BYTES = 16


class ClipFile:
    """What FFmpeg writes a fragmented MP4 to.

    A raw file may take a part of what it is given, which FFmpeg would not notice; and after a write that
    failed FFmpeg would still rewrite the beginning to what is only right of a finished file.

    Args:
        path, option: as of `open_output`.

    Raises:
        UsageError: when it cannot be written.
    """

    def __init__(self, path: str | Path, option: str) -> None:
        self._path = path
        self._fd = open_output(path, option)
        self._failure: OSError | None = None

    def write(self, data: bytes) -> int:
        """Writes all of it; nothing any more once a write failed.

        Raises:
            OSError: of the first write that failed.
        """
        if self._failure is not None:
            raise self._failure
        try:
            write_all(self._fd, data)
        except OSError as error:
            self._failure = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of every file."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """As of every file."""
        return self.seek(0, os.SEEK_CUR)

    def seekable(self) -> bool:
        """FFmpeg asks; what it may not seek in, it cannot finish."""
        return stat.S_ISREG(os.fstat(self._fd).st_mode)

    def close(self) -> None:
        """Closes the file; what a failed write left of a fragment is cut off.

        Raises:
            OSError: the system says only now that something was not written.
        """
        try:
            if self._failure is not None and self.seekable():
                os.ftruncate(self._fd, _whole_fragments(self._path))
        finally:
            os.close(self._fd)


def _whole_fragments(path: str | Path) -> int:
    """Bytes up to the end of the last media data (`mdat`) that is there whole; 0 for none."""
    with Path(path).open("rb") as file:
        size, at, whole = os.fstat(file.fileno()).st_size, 0, 0
        while len(header := file.read(_HEADER_BYTES)) == _HEADER_BYTES:
            length = int.from_bytes(header[:4])
            if length == 1:
                length = int.from_bytes(header[8:])
            at += length
            if length < 8 or at > size:
                break
            if header[4:8] == b"mdat":
                whole = at
            file.seek(at)
    return whole
