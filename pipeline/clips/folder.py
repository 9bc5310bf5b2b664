"""Clips of events on disk, in bounded space: the oldest go first."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.clips.packets import Cut

_NAME = re.compile(r"[0-9a-f]{20}\.(?:mp4|mkv)")
_PART = re.compile(r"[0-9a-f]{20}\.\d+\.part")
# Whoever wrote so long has died.
_ABANDONED_S = 3600.0


class ClipFolder:
    """Keeps clips as `STREAM/EVENT.mp4`. Any number of processes may use it at once.

    Args:
        folder: made when it is first written to.
        most_bytes: of all clips in it.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder = folder
        self._most_bytes = most_bytes

    def write(self, stream: str, event: str, cut: Cut) -> Path:
        """Writes a clip, and removes the oldest ones there are too many of.

        Raises:
            OSError: it cannot be written.
            ValueError: it is larger than all may be, or the format does not take its packets.
        """
        # Imports FFmpeg, which who only serves clips does without.
        from pipeline.clips.container import write_clip

        if cut.size > self._most_bytes:
            raise ValueError(f"it has {cut.size} bytes, more than all clips may have ({self._most_bytes})")
        path = self._folder / stream / f"{event}.{cut.ending}"
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._make_room(cut.size)
        # Whoever reads it finds the whole of it or nothing.
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            write_clip(part, cut.template, cut.packets)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._make_room(0)
        return path

    def find(self, stream: str, event: str) -> Path | None:
        """The clip of an event; None where there is none, or it is kept no longer."""
        for ending in ("mp4", "mkv"):
            path = self._folder / stream / f"{event}.{ending}"
            if _NAME.fullmatch(path.name) and path.is_file():
                return path
        return None

    def forget(self, stream: str) -> None:
        """Removes all clips of a stream."""
        shutil.rmtree(self._folder / stream, ignore_errors=True)

    def _make_room(self, size: int) -> None:
        """Removes the oldest clips until so many more bytes are no more than all may have."""
        found = []
        for path in self._folder.glob("*/*"):
            try:
                state = path.stat()
                if _NAME.fullmatch(path.name):
                    found.append((state.st_mtime_ns, state.st_size, path))
                elif _PART.fullmatch(path.name) and state.st_mtime < time.time() - _ABANDONED_S:
                    path.unlink(missing_ok=True)
            except OSError as error:
                # Somebody else has removed it.
                if error.errno != errno.ENOENT:
                    raise
        total = size + sum(bytes_ for _, bytes_, _ in found)
        for _, bytes_, path in sorted(found):
            if total <= self._most_bytes:
                break
            path.unlink(missing_ok=True)
            total -= bytes_
