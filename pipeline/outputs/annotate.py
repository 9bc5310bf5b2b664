"""Writes an annotated copy of a video: what the tokenizer did with each frame, and what the model said."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, cast

import av
import numpy as np
import numpy.typing as npt
from av import VideoStream
from av.video.reformatter import ColorRange, Colorspace

from pipeline.errors import UsageError, VwtError
from pipeline.frame import Frame, Pixels
from pipeline.outputs.clip_file import ClipFile
from pipeline.outputs.drawing import Painter
from pipeline.outputs.files import STDOUT, write_failure
from pipeline.results import FrameResult

# MPEG-4 admits at most 65535; 60000 makes the frame times of the usual rates exact, 29.97 too.
TIME_BASE = Fraction(1, 60000)
_ASSUMED_FPS = 25.0
_QUEUED_FRAMES = 4

# No look-ahead and no reordering: a frame is in the file soon after it was written, whatever happens next.
_CODECS = {
    "libx264": {"preset": "veryfast", "crf": "21", "tune": "zerolatency"},
    "mpeg4": {"qmin": "3", "qmax": "8", "b": "8000000"},
}
_CODEC = next(name for name in _CODECS if name in av.codecs_available)
_BT709 = 1
_MPEG_RANGE = 1

_Item = tuple[Frame, Pixels, FrameResult, npt.NDArray[np.uint8] | None]


class Annotator:
    """Draws and encodes frames in a thread of its own, behind a short queue.

    No frame is ever left out: where encoding is slower than inference, `write` waits. The file is fragmented
    while it grows, so that it plays up to about the last second even after SIGKILL or on a full disk, and an
    ordinary MP4 once it is closed. Frames keep their presentation times; the first one is at 0.
    """

    def __init__(self, path: str | Path, fps: float | None = None, option: str = "--annotate") -> None:
        """Opens `path`, replacing what was there.

        Args:
            path: the MP4 file to write.
            fps: nominal rate of the frames; spaces frames that have no presentation time.
            option: the command line option that named the path, for errors.

        Raises:
            UsageError: when it cannot be written.
        """
        if str(path) == STDOUT:
            raise UsageError(f"cannot write {option} to standard output: MP4 needs a file; give it a path")
        self.path = str(path)
        self._file = ClipFile(path, option)
        self._encoder = _Encoder(self._file, fps or _ASSUMED_FPS)
        self._queue: Queue[_Item | None] = Queue(_QUEUED_FRAMES)
        self._failure: Exception | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="annotate", daemon=True)
        self._thread.start()

    def write(self, frame: Frame, result: FrameResult, token_map: npt.NDArray[np.uint8] | None) -> None:
        """Queues a frame; waits while the queue is full.

        Args:
            frame: with its `picture` kept.
            result: of that frame.
            token_map: (grid rows, grid columns) of patch states; None for a model without patches.

        Raises:
            VwtError: when an earlier frame could not be written.
            ValueError: when the frame has no picture, or the annotator is closed.
        """
        if self._closed:
            raise ValueError("the annotator is closed")
        if frame.picture is None:
            raise ValueError("the frame has no picture; ask the reader to keep it")
        self._raise_failure()
        self._queue.put((frame, frame.picture, result, token_map))

    def close(self) -> None:
        """Encodes what is queued and finishes the file; without any frame it is removed. Twice does no harm.

        Raises:
            VwtError: when a frame or the end of the file could not be written.
        """
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        self._thread.join()
        self._raise_failure()

    def __enter__(self) -> Annotator:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _raise_failure(self) -> None:
        if isinstance(self._failure, OSError):
            raise write_failure(self.path, self._failure) from self._failure
        if self._failure is not None:
            raise VwtError(f"cannot encode {self.path}: {self._failure}") from self._failure

    def _work(self) -> None:
        # After a failure it keeps emptying the queue, so that who writes or closes never waits in vain.
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                self._attempt(self._encoder.add, *item)
        self._attempt(self._encoder.finish)
        self._attempt(self._file.close)
        if not self._encoder.frames and Path(self.path).is_file():
            Path(self.path).unlink()

    def _attempt(self, action: Any, *arguments: Any) -> None:
        try:
            action(*arguments)
        except Exception as error:
            self._failure = self._failure or error


class _Encoder:
    """Turns frames into an MP4; lives in the annotator's thread."""

    def __init__(self, file: ClipFile, fps: float) -> None:
        options = {"movflags": "hybrid_fragmented", "flush_packets": "1"}
        self._container = av.open(file, "w", format="mp4", options=options)
        self._fps = fps
        self._zero_s: float | None = None
        self._last_ticks = 0
        self.frames = 0

    def add(
        self, frame: Frame, picture: Pixels, result: FrameResult, token_map: npt.NDArray[np.uint8] | None
    ) -> None:
        if not self.frames:
            self._open(picture)
        canvas = self._painter.paint(picture, frame.geometry, token_map, result)
        rgb = av.VideoFrame.from_ndarray(canvas, format="rgb24")
        yuv = rgb.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        yuv.pts, yuv.time_base = self._ticks(frame.times.pts_s), TIME_BASE
        self._container.mux(self._stream.encode(yuv))
        self.frames += 1

    def finish(self) -> None:
        if self.frames:
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _open(self, picture: Pixels) -> None:
        height, width = picture.shape[:2]
        self._painter = Painter(width, height)
        self._stream = cast(VideoStream, self._container.add_stream(_CODEC, options=_CODECS[_CODEC]))
        context = self._stream.codec_context
        context.width, context.height = self._painter.width, self._painter.height
        context.pix_fmt = "yuv420p"
        context.time_base = self._stream.time_base = TIME_BASE
        # A fragment ends where a keyframe begins: about a second is lost at most.
        context.gop_size = max(round(self._fps), 1)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _MPEG_RANGE

    def _ticks(self, pts_s: float | None) -> int:
        """Time since the first frame in units of TIME_BASE, always growing.

        A frame without a time follows the one before at the nominal distance; so does the first after times
        went back, and those behind it count from there.
        """
        expected = self._last_ticks + round(1 / self._fps / TIME_BASE) if self.frames else 0
        ticks = expected
        if pts_s is not None:
            if self._zero_s is not None:
                ticks = round((pts_s - self._zero_s) / TIME_BASE)
            if self._zero_s is None or ticks <= self._last_ticks:
                self._zero_s = pts_s - expected * float(TIME_BASE)
                ticks = expected
        self._last_ticks = ticks
        return ticks
