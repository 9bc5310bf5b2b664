"""How a decoded picture is to be shown."""

from __future__ import annotations

import math
import struct
from typing import Any

from av.sidedata.sidedata import SideDataContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.frame import AS_STORED, Display

# Its types leave out what it is made of.
_SIDE_DATA: Any = SideDataContainer
# Of a pixel; a larger one would only make a picture grow.
_MOST_ASPECT = 8


def pixel_aspect(stream: VideoStream) -> float:
    """As the container says, or else the codec; what no camera would say counts as square."""
    stated = stream.sample_aspect_ratio
    # Asked at every picture: comparing fractions takes ten times as long.
    aspect = stated.numerator / stated.denominator if stated else 1.0
    return aspect if 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT else 1.0


def display_of(frame: VideoFrame, aspect: float) -> Display:
    """What the display matrix says, the turn to the nearest quarter.

    Its first two rows are where the axes of the stored picture, right and down, point when it is shown. One
    that mirrors has a negative determinant, and has no angle before the mirroring is taken out.

    Args:
        frame: decoded.
        aspect: width of its pixels over their height.
    """
    # Not `frame.side_data`, which the frame keeps and which keeps the frame: its memory, of megabytes, would
    # be used again only once such cycles are collected.
    data: Any = _SIDE_DATA(frame).get("DISPLAYMATRIX")
    if data is None:
        return AS_STORED if aspect == 1.0 else Display(pixel_aspect=aspect)
    (a, b, _), (c, d, _), _ = struct.iter_unpack("=3i", bytes(data))
    mirrored = a * d < b * c
    if mirrored:
        a, b = -a, -b
    return Display(round(math.degrees(math.atan2(b, a)) / 90) * 90 % 360, mirrored, aspect)
