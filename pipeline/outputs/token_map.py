"""Shows over a picture which of its patches stayed tokens of their own, were merged, dropped or recalled."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.frame import Geometry, Pixels
from pipeline.tokenizers.states import DROPPED, INTACT, MERGED, RECALLED

# Beside the states of a patch: what the model's input does not show of the picture (cropped away).
NOT_SEEN = 4

# Where a pixel lies within the pattern that every patch is drawn with.
_PLAIN, _RISING, _FALLING, _CROSSING, _EDGE = range(5)
_PENS = 5
_HATCH_PERIOD, _HATCH_WIDTH = 9, 2

_Ink = tuple[tuple[int, int, int], float]


@dataclass(frozen=True, slots=True)
class _Style:
    """How patches of one state are drawn: colour (RGB) and opacity of the area, the hatching, the outline."""

    area: _Ink
    hatch: _Ink
    edge: _Ink
    direction: int = _RISING

    def ink(self, pen: int) -> _Ink:
        if pen == _EDGE:
            return self.edge
        return self.hatch if pen in (self.direction, _CROSSING) else self.area


_NO_INK: _Ink = ((0, 0, 0), 0.0)
_GREY: _Ink = ((110, 110, 110), 0.7)
# States differ in lightness and pattern first and in hue second: they can be told apart without colour
# vision, and a dropped patch also where the picture itself is black.
_STYLES = {
    INTACT: _Style(_NO_INK, _NO_INK, ((255, 255, 255), 0.35)),
    MERGED: _Style(((0, 70, 150), 0.3), ((190, 220, 255), 0.5), ((0, 50, 110), 0.5)),
    DROPPED: _Style(((0, 0, 0), 0.75), ((90, 90, 90), 0.6), ((0, 0, 0), 0.9), _FALLING),
    RECALLED: _Style(((0, 0, 0), 0.45), ((0, 0, 0), 0.45), ((0, 0, 0), 0.45)),
    NOT_SEEN: _Style(_GREY, _GREY, _GREY),
}


def _tables() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """For cv2.LUT, by state * _PENS + pen: what to add, and 255 x the share to keep of the picture.

    Both are (1, 256, 3).
    """
    add, keep = np.zeros((1, 256, 3), np.uint8), np.zeros((1, 256, 3), np.uint8)
    for state, style in _STYLES.items():
        for pen in range(_PENS):
            colour, opacity = style.ink(pen)
            add[0, state * _PENS + pen] = np.round(np.array(colour) * opacity)
            keep[0, state * _PENS + pen] = round(255 * (1 - opacity))
    return add, keep


_ADD, _KEEP = _tables()


class TokenMapLayer:
    """Draws token maps of one grid over pictures of one size and geometry.

    Attributes:
        everything_seen: whether the model's input shows the whole picture.
    """

    def __init__(self, geometry: Geometry, grid: tuple[int, int], width: int, height: int) -> None:
        """Works out which patch each pixel lies in.

        Args:
            geometry: where the source picture lies in the model's input.
            grid: rows and columns of the token map.
            width, height: of the pictures to draw on: the source picture, scaled.
        """
        self._for = (geometry, grid)
        self._rows, rows_seen = _patch_of(
            height,
            geometry.source_height,
            geometry.scale_y,
            geometry.offset_y,
            geometry.input_height,
            grid[0],
        )
        self._columns, columns_seen = _patch_of(
            width, geometry.source_width, geometry.scale_x, geometry.offset_x, geometry.input_width, grid[1]
        )
        self._pens = _hatching(height, width)
        self._pens[np.diff(self._rows, prepend=self._rows[0]) != 0, :] = _EDGE
        self._pens[:, np.diff(self._columns, prepend=self._columns[0]) != 0] = _EDGE
        self._unseen = ~(rows_seen[:, None] & columns_seen[None, :])
        self.everything_seen = not self._unseen.any()

    def fits(self, geometry: Geometry, grid: tuple[int, ...]) -> bool:
        """Whether this layer was made for such frames."""
        return self._for == (geometry, grid)

    def draw(self, picture: Pixels, token_map: npt.NDArray[np.uint8]) -> Pixels:
        """Returns `picture` (height, width, 3) with `token_map` (rows, columns) drawn over it."""
        states = token_map[self._rows][:, self._columns]
        states[self._unseen] = NOT_SEEN
        return _draw(picture, states, self._pens)


def draw_sample(state: int, size: int) -> Pixels:
    """A (size, size, 3) sample of how patches of `state` look, for a legend."""
    plain = np.full((size, size, 3), (165, 160, 140), np.uint8)
    return _draw(plain, np.full((size, size), state, np.uint8), _hatching(size, size))


def _draw(picture: Pixels, states: npt.NDArray[np.uint8], pens: npt.NDArray[np.uint8]) -> Pixels:
    # Table look-ups on bytes: seven times as fast as indexing with arrays and blending in float.
    code = states * np.uint8(_PENS) + pens
    codes = cv2.merge([code, code, code])
    drawn: Pixels = cv2.add(cv2.multiply(picture, cv2.LUT(codes, _KEEP), scale=1 / 255), cv2.LUT(codes, _ADD))
    return drawn


def _patch_of(
    pixels: int, source: int, scale: float, offset: float, size: int, patches: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Along one side: the patch each pixel lies in, and whether the model sees that pixel at all."""
    at = (np.arange(pixels) + 0.5) / pixels * source * scale + offset
    patch = np.floor(at * patches / size).astype(np.intp)
    return patch.clip(0, patches - 1), (patch >= 0) & (patch < patches)


def _hatching(height: int, width: int) -> npt.NDArray[np.uint8]:
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    rising = (x + y) % _HATCH_PERIOD < _HATCH_WIDTH
    falling = (x - y) % _HATCH_PERIOD < _HATCH_WIDTH
    pens = np.select([rising & falling, rising, falling], [_CROSSING, _RISING, _FALLING], _PLAIN)
    return pens.astype(np.uint8)
