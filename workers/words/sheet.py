"""A contact sheet: every visual word of a vocabulary as a small picture, the most used first."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vocab.words import Vocabulary

_WORD_SIDE = 30  # a word is enlarged by the whole number that comes nearest to this
_GAP = 6
_LANDSCAPE = 1.7  # columns per row
_MARGIN = 12
_LINE = 24
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE = 0.5
# Black words and white words both stand out from it.
_GROUND = (64, 64, 70)
_TEXT = (236, 236, 236)
# Orange of the Okabe-Ito palette: told from the ground by every kind of colour vision.
_UNUSED = (230, 159, 0)
_FAINT = 0.4

_Picture = npt.NDArray[np.uint8]


def contact_sheet(vocabulary: Vocabulary, usage: npt.NDArray[np.int64] | None) -> _Picture:
    """Draws all words, enlarged without smoothing, below lines that say what they are.

    A word that matched nothing is drawn faint, with an orange corner. Where the vocabulary does not record
    its normalisation the true colours are unknown: each word is stretched to its own range.

    Args:
        vocabulary: V words.
        usage: (V,) how many patches matched each word; None when unknown: the words keep their order.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: when the usage is of another number of words.
    """
    if usage is not None and usage.shape != (len(vocabulary),):
        raise ValueError(f"usage of {usage.shape} words does not fit {vocabulary}")
    used = None if usage is None else usage > 0
    header = _header(vocabulary, usage)
    factor = max(1, round(_WORD_SIDE / vocabulary.patch_size))
    side = vocabulary.patch_size * factor
    columns = math.ceil(math.sqrt(len(vocabulary) * _LANDSCAPE))
    rows = math.ceil(len(vocabulary) / columns)
    step = side + _GAP
    top = _MARGIN // 2 + len(header) * _LINE + _MARGIN
    width = max(columns * step - _GAP, *(_text_width(line) for line in header)) + 2 * _MARGIN
    sheet = np.full((top + rows * step - _GAP + _MARGIN, width, 3), _GROUND, np.uint8)
    for number, line in enumerate(header, start=1):
        start = (_MARGIN, _MARGIN // 2 + number * _LINE - 6)
        cv2.putText(sheet, line, start, _FONT, _FONT_SCALE, _TEXT, 1, cv2.LINE_AA)
    pictures = word_pictures(vocabulary).repeat(factor, axis=1).repeat(factor, axis=2)
    order = np.arange(len(vocabulary)) if usage is None else np.argsort(-usage, kind="stable")
    for place, word in enumerate(order):
        row, column = divmod(place, columns)
        y, x = top + row * step, _MARGIN + column * step
        picture = pictures[word]
        if used is not None and not used[word]:
            picture = _unused(picture)
        sheet[y : y + side, x : x + side] = picture
    return sheet


def word_pictures(vocabulary: Vocabulary) -> _Picture:
    """The words as pixels: (V, P, P, 3) uint8 RGB."""
    side = vocabulary.patch_size
    words = vocabulary.words.cpu().numpy().reshape(len(vocabulary), 3, side, side)
    scale = vocabulary.normalisation
    if scale is not None:
        pixels = words * np.reshape(scale.std, (3, 1, 1)) + np.reshape(scale.mean, (3, 1, 1))
    else:
        low, high = (limit(words, axis=(1, 2, 3), keepdims=True) for limit in (np.min, np.max))
        # A word of one number has no range: it is drawn black.
        pixels = (words - low) / np.maximum(high - low, 1e-12)
    rgb = np.moveaxis(pixels, 1, -1)
    return np.asarray((rgb.clip(0, 1) * 255).round(), np.uint8)


def _unused(picture: _Picture) -> _Picture:
    """A word drawn fainter, with a corner cut off in orange."""
    faint = np.asarray(_GROUND) * (1 - _FAINT) + picture * _FAINT
    corner = np.add.outer(*map(np.arange, picture.shape[:2])) < len(picture) // 3
    return np.where(corner[..., None], _UNUSED, faint.round()).astype(np.uint8)


def _header(vocabulary: Vocabulary, usage: npt.NDArray[np.int64] | None) -> list[str]:
    side = vocabulary.patch_size
    what = f"{len(vocabulary)} words of {side}x{side} pixels, version {vocabulary.version}"
    if usage is None:
        lines = [f"{what}, in their own order (usage unknown)"]
    else:
        lines = [f"{what}, most used first, by {usage.sum()} patches that matched"]
        if not usage.all():
            lines.append(f"faint with an orange corner: {np.count_nonzero(usage == 0)} words without a patch")
    if vocabulary.normalisation is None:
        lines.append("normalisation not recorded: each word is stretched to its own range")
    return lines


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])
