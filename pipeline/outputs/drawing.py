"""Draws on a picture what the tokenizer did with it and what the model said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.boxes import Bounded, Box
from pipeline.frame import Geometry, Pixels
from pipeline.outputs.token_map import NOT_SEEN, TokenMapLayer, draw_sample
from pipeline.results import Energy, FrameResult, Prediction
from pipeline.tokenizers.states import DROPPED, INTACT, MERGED, RECALLED

# Small pictures are enlarged until patches and text can be read, large ones reduced to what fits a screen.
_MIN_HEIGHT, _MAX_SIDE = 480, 1280
_MIN_WIDTH = 480

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.5
_LINE = 24
_MARGIN = 10
_GAP = 22
_SWATCH = 14
_STRIP = (24, 24, 27)
_TEXT = (236, 236, 236)
_FRAME = (170, 170, 170)
_BOX = (255, 196, 0)
_CHANGED = (64, 200, 255)
_PART = (120, 230, 120)
_MAX_LABELS = 3

_Entry = tuple[int | None, str]
_LEGEND: tuple[_Entry, ...] = (
    (INTACT, "intact"),
    (MERGED, "merged"),
    (DROPPED, "dropped"),
    (RECALLED, "recalled"),
    (NOT_SEEN, "not seen"),
)
# Room is kept for figures as wide as these, so that the picture does not change its size during a run.
_WIDEST_FIGURES = (
    "tokens 1024/1024 (100 %)",
    "0.0123 J estimate, provisional",
    "1234.5 ms",
    "t=1234.56 s",
    "frame 123456",
)


@dataclass(frozen=True, slots=True)
class Outline:
    """A part of the picture.

    Attributes:
        points: corners (x, y) in 0..1 of the picture, in their order.
        text: what is said of it; none where it is empty.
    """

    points: Sequence[tuple[float, float]]
    text: str = ""


class Painter:
    """Draws annotated frames of one size: the picture, the token map over it, and a strip of figures below.

    The picture is scaled to at least 480 pixels high and at most 1280 on its longer side. Without the strip,
    whose legend and figures are shown beside it then, it is the picture alone.

    Attributes:
        width, height: of the frames it draws, both even as video needs it.
    """

    def __init__(self, picture_width: int, picture_height: int, strip: bool = True) -> None:
        """Chooses the sizes for pictures of this size; pictures of another size are stretched to it."""
        longest = max(picture_width, picture_height)
        scale = min(max(_MIN_HEIGHT / picture_height, 1.0), _MAX_SIDE / longest)
        self._panel = (_even(picture_width * scale), _even(picture_height * scale))
        self._strip = strip
        self.width = max(self._panel[0], _MIN_WIDTH) if strip else self._panel[0]
        self._legend_lines = _flow(_LEGEND, self.width)[-1].line + 1
        figure_lines = _flow([(None, text) for text in _WIDEST_FIGURES], self.width)[-1].line + 1
        self.height = self._panel[1]
        if strip:
            self.height += _even((self._legend_lines + figure_lines) * _LINE + _MARGIN)
        self._blank = np.full((self.height, self.width, 3), _STRIP, np.uint8)
        self._layer: TokenMapLayer | None = None

    def paint(
        self,
        picture: Pixels,
        geometry: Geometry,
        token_map: npt.NDArray[np.uint8] | None,
        result: FrameResult,
    ) -> Pixels:
        """Draws one frame.

        Args:
            picture: (H, W, 3) uint8 RGB, the upright source picture; not changed.
            geometry: where that picture lies in the model's input.
            token_map: (grid rows, grid columns) of patch states; None for a model without patches.
            result: of the same frame.

        Returns:
            (height, width, 3) uint8 RGB.
        """
        panel = self.panel(picture, geometry, token_map, result.prediction)
        _draw_scene(panel, result)
        if not self._strip:
            return panel
        width, height = self._panel
        canvas = self._blank.copy()
        left = (self.width - width) // 2
        canvas[:height, left : left + width] = panel
        if token_map is not None and self._layer is not None:
            self._draw_legend(canvas, self._layer.everything_seen)
        top = self._first_line + self._legend_lines * _LINE
        for item in _flow([(None, text) for text in _figures(result)], self.width):
            _text(canvas, item.text, item.x, top + item.line * _LINE)
        return canvas

    def panel(
        self,
        picture: Pixels,
        geometry: Geometry,
        token_map: npt.NDArray[np.uint8] | None,
        prediction: Prediction,
    ) -> Pixels:
        """Draws the picture alone, as `paint` does.

        Returns:
            (height, width, 3) uint8 RGB, of the scaled picture.
        """
        how = cv2.INTER_AREA if picture.shape[1] > self._panel[0] else cv2.INTER_CUBIC
        panel: Pixels = cv2.resize(picture, self._panel, interpolation=how)
        if token_map is not None:
            panel = self._layer_for(geometry, token_map.shape).draw(panel, token_map)
        _draw_prediction(panel, prediction)
        return panel

    @property
    def _first_line(self) -> int:
        """Baseline of the first line of the strip, in pixels from the top."""
        return self._panel[1] + _MARGIN // 2 + _LINE - 8

    def _layer_for(self, geometry: Geometry, grid: tuple[int, ...]) -> TokenMapLayer:
        if self._layer is None or not self._layer.fits(geometry, grid):
            self._layer = TokenMapLayer(geometry, (grid[0], grid[1]), *self._panel)
        return self._layer

    def _draw_legend(self, canvas: Pixels, everything_seen: bool) -> None:
        legend = [x for x in _LEGEND if x[0] != NOT_SEEN or not everything_seen]
        for item in _flow(legend, self.width):
            x, y = item.x, self._first_line + item.line * _LINE
            if item.swatch is not None:
                top = y + 1 - _SWATCH
                canvas[top : top + _SWATCH, x : x + _SWATCH] = draw_sample(item.swatch, _SWATCH)
                cv2.rectangle(canvas, (x - 1, top - 1), (x + _SWATCH, top + _SWATCH), _FRAME, 1)
            _text(canvas, item.text, x + _SWATCH + 6, y)


@dataclass(frozen=True, slots=True)
class _Item:
    """A piece of text in the strip, with the state whose sample stands before it."""

    swatch: int | None
    text: str
    x: int
    line: int


def _flow(entries: Sequence[_Entry], width: int) -> list[_Item]:
    """Puts entries side by side, and on a new line where one does not fit."""
    placed: list[_Item] = []
    x, line = _MARGIN, 0
    for swatch, text in entries:
        wide = _text_width(text) + (0 if swatch is None else _SWATCH + 6)
        if x > _MARGIN and x + wide > width - _MARGIN:
            x, line = _MARGIN, line + 1
        placed.append(_Item(swatch, text, x, line))
        x += wide + _GAP
    return placed


def _figures(result: FrameResult) -> tuple[str, ...]:
    return (
        _tokens_text(result.tokens_kept, result.tokens_full),
        _energy_text(result.energy),
        f"{result.total_ms:.1f} ms",
        "t unknown" if result.times.pts_s is None else f"t={result.times.pts_s:.2f} s",
        f"frame {result.frame}",
    )


def _tokens_text(kept: int | None, full: int | None) -> str:
    if kept is None or not full:
        return "no tokens"
    return f"tokens {kept}/{full} ({100 * kept / full:.0f} %)"


def _energy_text(energy: Energy) -> str:
    if energy.joules is None:
        return "energy unknown"
    return f"{energy.joules:.3g} J {energy.method}" + ("" if energy.settled else ", provisional")


def _draw_prediction(panel: Pixels, prediction: Prediction) -> None:
    # The best last, so that it lies on top; words after all boxes, so that no line crosses one out.
    called: list[tuple[Bounded, str]] = [(one, f"{one.score:.2f}") for one in reversed(prediction.regions)]
    called += [(box, _called(box)) for box in reversed(prediction.boxes)]
    for one, _ in called:
        _draw_box(panel, one)
    for one, text in called:
        _draw_plate(panel, one, text)
    lines = [f"{x.score:.2f}  {x.label}" for x in prediction.labels[:_MAX_LABELS]]
    if lines:
        wide = max(_text_width(x) for x in lines) + 2 * _MARGIN
        plate = panel[: len(lines) * _LINE + 6, :wide]
        plate[:] = plate // 4
        for index, line in enumerate(lines):
            _text(panel, line, _MARGIN, (index + 1) * _LINE - 4)


def _draw_scene(panel: Pixels, result: FrameResult) -> None:
    """What changed in a colour of its own, and the states of zones in the upper right corner."""
    changed = result.changed or ()
    for box in reversed(changed):
        _draw_box(panel, box, _CHANGED)
    for box in reversed(changed):
        _draw_plate(panel, box, _called(box), _CHANGED)
    if result.zones:
        lines = [_plain(f"{name}: {zone.state}") for name, zone in result.zones.items()]
        wide = max(map(_text_width, lines)) + 2 * _MARGIN
        plate = panel[: len(lines) * _LINE + 6, -wide:]
        plate[:] = plate // 4
        for index, line in enumerate(lines):
            _text(panel, line, panel.shape[1] - wide + _MARGIN, (index + 1) * _LINE - 4)


def _called(box: Box) -> str:
    return _plain(f"{box.name} {box.score:.2f}")


def _plain(text: str) -> str:
    # The font has no other letters.
    return text.encode("ascii", "replace").decode()


def _draw_box(panel: Pixels, box: Bounded, colour: tuple[int, int, int] = _BOX) -> None:
    left, top = _on(panel, box.x, box.y)
    corner = _on(panel, box.x + box.w, box.y + box.h)
    # A dark halo keeps the box visible on bright ground.
    cv2.rectangle(panel, (left, top), corner, (0, 0, 0), 5, cv2.LINE_AA)
    cv2.rectangle(panel, (left, top), corner, colour, 2, cv2.LINE_AA)


def draw_outline(panel: Pixels, outline: Outline) -> None:
    """Draws a part of the picture on it, with what is said of it at its highest corner."""
    corners = np.array([_on(panel, x, y) for x, y in outline.points], np.int32)
    for colour, width in (((0, 0, 0), 5), (_PART, 2)):
        cv2.polylines(panel, [corners], True, colour, width, cv2.LINE_AA)
    if outline.text:
        highest = min(outline.points, key=lambda point: point[1])
        _draw_words(panel, highest, _plain(outline.text), _PART)


def _draw_plate(panel: Pixels, box: Bounded, text: str, colour: tuple[int, int, int] = _BOX) -> None:
    _draw_words(panel, (box.x, box.y), text, colour)


def _draw_words(panel: Pixels, point: tuple[float, float], text: str, colour: tuple[int, int, int]) -> None:
    left, top = _on(panel, *point)
    wide = _text_width(text) + 10
    x = max(min(left, panel.shape[1] - wide), 0)
    y = top - 20 if top >= 20 else top
    cv2.rectangle(panel, (x, y), (x + wide, y + 20), colour, cv2.FILLED)
    _text(panel, text, x + 5, y + 15, (0, 0, 0))


def _on(panel: Pixels, x: float, y: float) -> tuple[int, int]:
    return round(x * panel.shape[1]), round(y * panel.shape[0])


def _text(canvas: Pixels, text: str, x: int, y: int, colour: tuple[int, int, int] = _TEXT) -> None:
    cv2.putText(canvas, text, (x, y), _FONT, _FONT_SCALE, colour, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])


def _even(value: float) -> int:
    return max(2 * round(value / 2), 2)
