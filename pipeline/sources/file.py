"""A file, decoded at full speed in its reader's own thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from pipeline.errors import SourceError
from pipeline.frame import Decoded
from pipeline.sources.deadline import within
from pipeline.sources.hardware import hardware_decoder
from pipeline.sources.reader import Reader, open_reader
from pipeline.sources.source import Notice, OnNotice, Source, SourceOptions
from pipeline.sources.spec import SourceSpec


class FileSource(Source):
    """Every picture a file holds, in order; none is dropped."""

    def __init__(self, spec: SourceSpec, options: SourceOptions, on_notice: OnNotice) -> None:
        """Opens the file and decodes its first picture.

        Raises:
            SourceError: it cannot be opened, holds no video, or did not open in time.
        """
        super().__init__()
        self._on_notice = on_notice
        self._closed = threading.Event()
        # Held while the library works on the container, which two threads must not do at once.
        self._in_library = threading.Lock()
        hwaccel = hardware_decoder(options, on_notice)
        try:
            # A pipe nobody writes to or a dead network drive would block the open for ever.
            self._reader = within(
                options.open_timeout_s,
                lambda: open_reader(spec, options, hwaccel, on_notice, self._dropped, self.decoding),
                Reader.close,
            )
        except TimeoutError as error:
            raise SourceError(
                f"{spec.display} did not open within {options.open_timeout_s:g} s: check the drive it is on"
            ) from error
        self.info = self._reader.info

    def frames(self) -> Iterator[Decoded]:
        """Yields the pictures of the file; see `Source.frames`. A cut-off file ends with a notice."""
        self.state = "running"
        pictures = self._reader.pictures()
        try:
            while True:
                with self._in_library:
                    decoded = None if self._closed.is_set() else next(pictures, None)
                if decoded is None or self._closed.is_set():
                    break
                yield decoded
            if not self._closed.is_set() and (missing := self._reader.missing()):
                self._dropped.add("gap")
                self._on_notice(Notice("truncated", f"{self.info.display} ends before its end: {missing}"))
        finally:
            self.close()

    def close(self) -> None:
        """Ends `frames` before its next picture."""
        self._closed.set()
        self.state = "ended"
        self._reader.interrupt()
        # A reader inside the library closes the container itself as soon as it comes out.
        if self._in_library.acquire(blocking=False):
            try:
                self._reader.close()
            finally:
                self._in_library.release()
