"""Image files as a source: one, a folder of them, or all that a pattern matches; each image is a frame."""

from __future__ import annotations

import glob
import re
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from pipeline.errors import SourceError, UsageError
from pipeline.frame import Decoded, FrameTimes, Pixels
from pipeline.sources.deadline import within
from pipeline.sources.source import Notice, OnNotice, Source, SourceInfo, SourceOptions
from pipeline.sources.spec import SourceSpec
from vocab.paths import exists, is_folder

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_KINDS = "JPEG, PNG, WebP or BMP"


def are_images(path: str | Path) -> bool:
    """Whether a path names images rather than a video: a folder, an image by its ending, or a pattern."""
    path = Path(path)
    return (
        is_folder(path)
        or path.suffix.lower() in _SUFFIXES
        or (glob.has_magic(str(path)) and not exists(path))
    )


def fixed_part(path: Path) -> Path:
    """The folder that all lie in whom a pattern matches; a path that is no pattern as it is."""
    while glob.has_magic(str(path)) and not exists(path):
        path = path.parent
    return path


def decode_image(data: bytes) -> Pixels | None:
    """The upright picture (H, W, 3) of a file's bytes, as the orientation says that a camera noted.

    None where it is damaged.
    """
    if not data:
        return None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    return None if found is None else found.astype(np.uint8, copy=False)


class ImagesSource(Source):
    """Images in the order of their names, where 2 comes before 10; they have no presentation times.

    What is no image by its ending is left out and said once; what is one and cannot be read counts as
    "corrupt". Sizes may differ.
    """

    def __init__(self, spec: SourceSpec, options: SourceOptions, on_notice: OnNotice) -> None:
        """Finds the images and decodes the first that can be.

        Raises:
            UsageError: they are to be sampled by time.
            SourceError: there is none, or none that can be read in time.
        """
        super().__init__()
        if options.fps is not None:
            raise UsageError(
                f"the images of {spec.display} have no times that frames per second (--fps) could be "
                "sampled by: leave it out"
            )
        self._spec = spec
        self._options = options
        self._on_notice = on_notice
        self._closed = threading.Event()
        # Damaged images are counted each, and told of once.
        self._told = False
        try:
            self._paths, self._first = within(options.open_timeout_s, self._open, lambda _: None)
        except TimeoutError as error:
            raise SourceError(
                f"{spec.display} did not open within {options.open_timeout_s:g} s: check the drive it is on"
            ) from error
        height, width = self._first.picture.shape[:2]
        self.info = SourceInfo(
            display=spec.display,
            name=spec.name,
            live=False,
            width=width,
            height=height,
            rate=None,
            frames=len(self._paths) + 1,
            duration_s=None,
            decoder="cpu",
        )

    def frames(self) -> Iterator[Decoded]:
        """Yields the images; see `Source.frames`."""
        self.state = "running"
        try:
            if not self._closed.is_set():
                yield self._first
            for path in self._paths:
                if self._closed.is_set():
                    break
                decoded = self._read(path)
                if decoded is not None:
                    yield decoded
        finally:
            self.close()

    def close(self) -> None:
        """Ends `frames` before its next image."""
        self._closed.set()
        self.state = "ended"

    def _open(self) -> tuple[Sequence[Path], Decoded]:
        """The first image that can be read, and the paths behind it."""
        paths = self._find()
        for number, path in enumerate(paths, 1):
            decoded = self._read(path)
            if decoded is not None:
                return paths[number:], decoded
        what = f"none of the {len(paths)} images of" if len(paths) > 1 else "no picture of"
        raise SourceError(f"{what} {self._spec.display} could be decoded: give {_KINDS} files")

    def _find(self) -> list[Path]:
        place, display = Path(self._spec.location), self._spec.display
        try:
            found = _named(place)
        except OSError as error:
            raise SourceError(f"cannot look for {display}: {error.strerror}: check the path") from error
        except ValueError as error:
            raise SourceError(f"{display} is no pattern: {error}") from error
        images = [
            path for path in found if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
        ]
        allowed = [path for path in images if self._may_read(path)]
        if not allowed:
            what = f"of {len(found)} files none is an image that may be read" if found else "there is no file"
            raise SourceError(
                f"no image in {display}: {what}; images are {_KINDS} by their endings, "
                "a video goes by its own path"
            )
        if len(allowed) < len(found):
            left = len(found) - len(allowed)
            self._on_notice(
                Notice("skipped", f"{display}: {len(allowed)} images, {left} other files left out")
            )
        return sorted(allowed, key=_in_order)

    def _may_read(self, path: Path) -> bool:
        """Whether it lies, whatever links say, in a folder that may be read."""
        folders = self._options.within
        return folders is None or any(path.resolve().is_relative_to(folder) for folder in folders)

    def _read(self, path: Path) -> Decoded | None:
        began = time.perf_counter()
        picture, wrong = self._decoded(path)
        self.decoding.frames += 1
        if picture is None:
            self._dropped.add("corrupt")
            if not self._told:
                self._told = True
                self._on_notice(Notice("corrupt", f"{self._spec.display}: left out {path.name}: {wrong}"))
            return None
        self.decoding.decoded += 1
        times = FrameTimes(pts_s=None, decode_ms=(time.perf_counter() - began) * 1e3)
        return Decoded(times, picture)

    def _decoded(self, path: Path) -> tuple[Pixels | None, str]:
        """The picture, or what is wrong with it."""
        try:
            # Only its head is read here: what does not fit into memory is never decoded.
            with Image.open(path, formats=FORMATS) as head:
                pixels = head.width * head.height
            if pixels > self._options.max_pixels:
                return None, f"it has more than {self._options.max_pixels} pixels; raise --max-pixels"
            return decode_image(path.read_bytes()), "it is damaged"
        except (UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError, cv2.error):
            return None, "it is damaged, or no image"
        except OSError as error:
            return None, error.strerror or "it cannot be read"


def _named(place: Path) -> list[Path]:
    """The files in a folder, the one at a path, or those that a pattern matches."""
    if place.is_dir():
        return [path for path in place.iterdir() if path.is_file()]
    root = fixed_part(place)
    if root == place:
        return [place] if place.exists() else []
    return [path for path in root.glob(str(place.relative_to(root))) if path.is_file()]


def _in_order(path: Path) -> list[tuple[int, str]]:
    """Sorts numbers in names by their value, and what is equal then by its text."""
    parts = re.split(r"(\d+)", str(path))
    return [*((int(part), "") if part.isdecimal() else (-1, part) for part in parts), (-1, str(path))]
