"""What the decode side hands to the inference side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Canvas:
    """The whole that an input was cut out of, since the rest of it shows padding only.

    Attributes:
        width, height: of the whole, in input pixels.
        left, top: where in it the input begins.
    """

    width: int
    height: int
    left: int
    top: int


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where a source picture lies in the model's input.

    A source pixel (x, y) is at (x * scale_x + offset_x, y * scale_y + offset_y) in the input. Negative
    offsets mean the picture was cropped, positive ones that it was padded.

    `canvas` is what the input was cut out of; None where it is all there is.
    """

    source_width: int
    source_height: int
    input_width: int
    input_height: int
    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float
    canvas: Canvas | None = None

    def to_source(self, x: float, y: float) -> tuple[float, float]:
        """Maps an input pixel to source coordinates in 0..1, clipped to the picture."""
        sx = (x - self.offset_x) / self.scale_x / self.source_width
        sy = (y - self.offset_y) / self.scale_y / self.source_height
        return min(max(sx, 0.0), 1.0), min(max(sy, 0.0), 1.0)

    def content_box(self) -> tuple[float, float, float, float]:
        """The part of the input that shows the picture: (left, top, right, bottom) in input pixels."""
        right = self.source_width * self.scale_x + self.offset_x
        bottom = self.source_height * self.scale_y + self.offset_y
        return (
            max(self.offset_x, 0.0),
            max(self.offset_y, 0.0),
            min(right, float(self.input_width)),
            min(bottom, float(self.input_height)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTimes:
    """When a frame is shown, when it came and how long it took; travels from the source to the result.

    Attributes:
        pts_s: presentation time in seconds from the container; None where it has none.
        captured_at: wall clock (Unix seconds) when a live frame arrived; None for files.
        decode_ms: time spent decoding it, and from preprocessing on that too.
    """

    pts_s: float | None
    captured_at: float | None = None
    decode_ms: float = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        # By itself a dataclass with slots looks its fields up each time: three times as long.
        return _times, (self.pts_s, self.captured_at, self.decode_ms)


def _times(pts_s: float | None, captured_at: float | None, decode_ms: float) -> FrameTimes:
    return FrameTimes(pts_s=pts_s, captured_at=captured_at, decode_ms=decode_ms)


@dataclass(frozen=True, slots=True)
class Display:
    """How a stored picture is shown: made wider or narrower first, then mirrored, then turned.

    Attributes:
        pixel_aspect: width of a stored pixel over its height.
        rotation: clockwise degrees (0, 90, 180, 270) it is turned.
        mirrored: whether left and right change places.
    """

    rotation: int = 0
    mirrored: bool = False
    pixel_aspect: float = 1.0

    def shown_width(self, width: int) -> int:
        """Width of a stored picture whose pixels are made square."""
        return max(round(width * self.pixel_aspect), 1)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of the upright picture of a stored one."""
        width = self.shown_width(width)
        return (height, width) if self.rotation % 180 else (width, height)


AS_STORED = Display()


@dataclass(frozen=True, slots=True)
class Decoded:
    """One frame as a source gives it, before sampling and preprocessing.

    Attributes:
        times: when it is shown, when it came, and how long it took.
        picture: an `av.VideoFrame`, or an RGB uint8 array (H, W, 3); None where the source knew that the
            frame is not sampled, and did not decode it.
        display: how the picture is shown upright.
        sampled: whether the source has found that it is; else that is still to be decided.
    """

    times: FrameTimes
    picture: Any
    display: Display = AS_STORED
    sampled: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """One sampled frame, ready for a model.

    Attributes:
        times: when it is shown, when it came, and how long it took.
        image: model input, uint8 (H, W, 3) RGB, contiguous.
        geometry: where the source picture lies in `image`.
        picture: the upright source picture, uint8 RGB, only when it was asked for (annotation); else None.
        ready_at: `time.monotonic()` when the frame was ready for inference.
        dropped: frames dropped since the frame delivered before this one, by reason.
    """

    times: FrameTimes
    image: Pixels
    geometry: Geometry
    picture: Pixels | None = None
    ready_at: float = 0.0
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Frame(pts_s={self.times.pts_s}, image={self.image.shape}, dropped={dict(self.dropped)})"
