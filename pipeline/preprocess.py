"""From a decoded picture to a model's input, as the model's own transform would have made it.

The picture is turned into RGBA by swscale at its full size, then resized by torch's antialiased filters on
uint8. benchmarks/preprocess.py compares this with timm's own transform and what was rejected; figures are
in benchmarks/results/preprocess.json. Nothing else tried gives timm's pixels (mean absolute difference below
0.01 of 255), and it needs less than a fifth of timm's time. swscale straight from YUV is off by 1.1 to 1.9 of
255; it saves a quarter of the time at 1280x720 and nothing on smaller pictures. OpenCV's quick filters alias
at 1280x720 (2.3 to 2.9 of 255), and its area filter is slower where it reduces.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import cast

import av
import cv2
import numpy as np
import torch
import torch.nn.functional as F
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from pipeline.errors import ModelError, SourceError
from pipeline.frame import AS_STORED, Canvas, Display, Geometry, Pixels
from pipeline.input_spec import InputSpec

# AVColorSpace codes that swscale converts; it refuses frames tagged with any other, reserved codes included.
_CONVERTED_MATRICES = frozenset({0, 1, 2, 4, 5, 6, 7, 9})
_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}
# A side is resized to at most so many times the input's longer side. Beyond that a picture is a sliver, which
# would grow to gigabytes before the crop.
_OVERSCAN = 16


class Preprocessor:
    """Makes model inputs of pictures. Keeps a converter between calls: one thread at a time.

    Args:
        spec: the model's input.
        keep_picture: also return the upright picture at its full size.

    Raises:
        ModelError: this torch lacks the interpolation that the model asks for.
    """

    def __init__(self, spec: InputSpec, keep_picture: bool = False) -> None:
        self._spec = spec
        self._keep_picture = keep_picture
        self._reformatter = VideoReformatter()
        self._blank = np.full((spec.height, spec.width, 3), spec.fill, np.uint8)
        self._placed: tuple[tuple[int, int], _Side, _Side, Geometry] | None = None
        try:
            self._resize(np.zeros((2, 2, 3), np.uint8), 1, 1)
        except (NotImplementedError, ValueError) as error:
            raise ModelError(
                f"torch {torch.__version__} cannot resize by {spec.interpolation!r} as the model asks: "
                "install a newer torch"
            ) from error

    def __call__(
        self, picture: av.VideoFrame | Pixels, display: Display = AS_STORED
    ) -> tuple[Pixels, Geometry, Pixels | None]:
        """Resizes, turns and crops or pads one picture, as `InputSpec.crop_mode` says.

        Args:
            picture: a decoded frame in any pixel format, or RGB uint8 (H, W, 3).
            display: how it is shown upright.

        Returns:
            The input, uint8 (height, width, 3) RGB, contiguous and not shared; where the upright picture lies
            in it; the upright picture, uint8 RGB, or None when it was not asked for.

        Raises:
            SourceError: the picture has a pixel format that cannot be converted.
        """
        rgb = self._rgb(picture)
        sideways = display.rotation % 180 != 0
        width, height = display.size(rgb.shape[1], rgb.shape[0])
        x, y, geometry = self._place(width, height)

        columns, rows = (y, x) if sideways else (x, y)
        stored = rgb[rows.source, _stored(columns.source, rgb.shape[1], display)]
        small = _turn(self._resize(stored, columns.size, rows.size), display)
        image = self._blank[: y.length, : x.length].copy()
        image[y.target, x.target] = _three(small[y.shown, x.shown])
        upright = np.ascontiguousarray(_upright(rgb, display)) if self._keep_picture else None
        return image, geometry, upright

    def _place(self, width: int, height: int) -> tuple[_Side, _Side, Geometry]:
        """Where upright pictures of a size go; the pictures of a stream share one `Geometry`."""
        if self._placed is None or self._placed[0] != (width, height):
            x, y, canvas = _place(width, height, self._spec)
            geometry = Geometry(
                source_width=width,
                source_height=height,
                input_width=x.length,
                input_height=y.length,
                scale_x=x.scale,
                scale_y=y.scale,
                offset_x=x.offset,
                offset_y=y.offset,
                canvas=canvas,
            )
            self._placed = ((width, height), x, y, geometry)
        return self._placed[1:]

    def _rgb(self, picture: av.VideoFrame | Pixels) -> Pixels:
        if isinstance(picture, np.ndarray):
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                raise SourceError(
                    f"a picture is {picture.dtype} {picture.shape}: give RGB as uint8 (height, width, 3)"
                )
            # torch shares memory only with arrays that are writable and run forward.
            return np.require(picture, requirements=["C", "W"])
        matrix = None if picture.colorspace in _CONVERTED_MATRICES else Colorspace.ITU601
        try:
            frame = self._reformatter.reformat(
                picture,
                # Quicker to make than three channels, and resizing would add the fourth itself.
                format="rgba",
                src_colorspace=matrix,
                dst_colorspace=matrix,
                dst_color_range=ColorRange.JPEG,
                # The decoder and the model want the other cores; one converts a picture fast enough.
                threads=1,
            )
        except av.FFmpegError as error:
            raise SourceError(
                f"cannot convert {picture.format.name} pictures to RGB ({error.strerror}): "
                "re-encode the source to yuv420p"
            ) from error
        return cast(Pixels, frame.to_ndarray())

    def _resize(self, rgb: Pixels, width: int, height: int) -> Pixels:
        if rgb.shape[:2] == (height, width):
            return rgb
        # A batch of one whose strides say channels last: torch then neither unpacks nor packs the channels.
        pixels = torch.from_numpy(rgb)[None].permute(0, 3, 1, 2)
        resized = F.interpolate(pixels, (height, width), mode=self._spec.interpolation, antialias=True)
        small: Pixels = resized.permute(0, 2, 3, 1)[0].numpy()
        return small


def _stored(shown: slice, width: int, display: Display) -> slice:
    """The columns of a stored picture, `width` wide, that are shown as the given ones."""
    if display.shown_width(width) == width:
        return shown
    ratio = width / display.shown_width(width)
    first = min(int(shown.start * ratio), width - 1)
    return slice(first, max(round(shown.stop * ratio), first + 1))


def _upright(rgb: Pixels, display: Display) -> Pixels:
    """Three channels at full size, with square pixels."""
    pixels = _three(rgb)
    size = (display.shown_width(rgb.shape[1]), rgb.shape[0])
    if size[0] != rgb.shape[1]:
        pixels = cast(Pixels, cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR))
    return _turn(pixels, display)


def _turn(pixels: Pixels, display: Display) -> Pixels:
    """Upright."""
    if display.mirrored:
        pixels = cast(Pixels, cv2.flip(pixels, 1))
    return cast(Pixels, cv2.rotate(pixels, _TURNS[display.rotation])) if display.rotation else pixels


def _three(pixels: Pixels) -> Pixels:
    """Without the fourth channel, where there is one."""
    return cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)) if pixels.shape[2] == 4 else pixels


@dataclass(frozen=True, slots=True)
class _Side:
    """How one side of the upright picture comes to lie in the input.

    Attributes:
        source: the pixels of the picture that are resized.
        size: what they are resized to.
        shown: the part of the resized pixels that lies in the input.
        target: where in the input it lies.
        scale: input pixels per source pixel.
        offset: where in the input the picture starts, in input pixels; negative when it is cropped.
        length: of the input, in pixels.
    """

    source: slice
    size: int
    shown: slice
    target: slice
    scale: float
    offset: float
    length: int

    def cut(self, patch: int) -> tuple[_Side, int]:
        """Leaves out the patches wholly beside the picture; also gives how many pixels went in front."""
        first = self.target.start // patch * patch
        end = -(-self.target.stop // patch) * patch
        target = slice(self.target.start - first, self.target.stop - first)
        return replace(self, target=target, offset=self.offset - first, length=end - first), first


def _place(width: int, height: int, spec: InputSpec) -> tuple[_Side, _Side, Canvas | None]:
    """Where both sides of an upright picture go, and the canvas that patches of padding were cut from."""
    if spec.crop_mode == "native":
        return *_native(width, height, spec), None
    x, y = _framed(width, height, spec)
    if spec.crop_mode != "border" or spec.patch_size is None:
        return x, y, None
    (x, left), (y, top) = x.cut(spec.patch_size), y.cut(spec.patch_size)
    if (x.length, y.length) == (spec.width, spec.height):
        return x, y, None
    return x, y, Canvas(spec.width, spec.height, left, top)


def _native(width: int, height: int, spec: InputSpec) -> tuple[_Side, _Side]:
    """The picture as large as fits into the input's size, both sides rounded to whole patches."""
    patch = spec.patch_size
    assert patch is not None, "a native input has patches"
    ratio = max(width / spec.width, height / spec.height)
    size_x, size_y = (max(round(side / ratio / patch), 1) * patch for side in (width, height))
    limit = _OVERSCAN * max(spec.width, spec.height)
    return _side(width, size_x, size_x, limit), _side(height, size_y, size_y, limit)


def _framed(width: int, height: int, spec: InputSpec) -> tuple[_Side, _Side]:
    """Sizes and rounding of timm's evaluation transform, for both sides of an upright picture."""
    target_width = math.floor(spec.width / spec.crop_pct)
    target_height = math.floor(spec.height / spec.crop_pct)
    ratio_x, ratio_y = width / target_width, height / target_height
    if spec.crop_mode == "squash":
        size_x, size_y = target_width, target_height
    elif spec.crop_mode == "border":
        ratio = max(ratio_x, ratio_y)
        size_x, size_y = round(width / ratio), round(height / ratio)
    elif target_width != target_height:
        ratio = min(ratio_x, ratio_y)
        size_x, size_y = round(width / ratio), round(height / ratio)
    else:
        short = min(width, height)
        size_x, size_y = width * target_width // short, height * target_height // short
    limit = _OVERSCAN * max(spec.width, spec.height)
    return _side(width, size_x, spec.width, limit), _side(height, size_y, spec.height, limit)


def _side(length: int, size: int, shown: int, limit: int) -> _Side:
    """Centres one side: `length` source pixels, resized to `size`, of an input `shown` pixels long."""
    size = max(size, 1)
    cut = 0
    if size > limit:
        cut = (length - math.ceil(length * limit / size)) // 2
        size = round(size * (length - 2 * cut) / length)
    scale = size / (length - 2 * cut)
    # Padding rounds down and cropping rounds half to even, as timm and torchvision do.
    start = (shown - size) // 2 if size < shown else -round((size - shown) / 2)
    first, end = max(start, 0), min(start + size, shown)
    return _Side(
        source=slice(cut, length - cut),
        size=size,
        shown=slice(first - start, end - start),
        target=slice(first, end),
        scale=scale,
        offset=start - cut * scale,
        length=shown,
    )
