"""Patches whose features are known, and where they lie."""

from __future__ import annotations

import numpy as np

from pipeline.frame import Geometry
from pipeline.reading import PatchFeatures

PATCH = 14
WIDTH = 8


def geometry(rows: int, columns: int) -> Geometry:
    """Of an input that is the whole picture, twice as large."""
    width, height = columns * PATCH, rows * PATCH
    return Geometry(2 * width, 2 * height, width, height, 0.5, 0.5, 0.0, 0.0)


def plain(rows: int, columns: int, axis: int = 0) -> PatchFeatures:
    """All patches alike: a unit vector along an axis."""
    patches = np.zeros((rows, columns, WIDTH), np.float32)
    patches[..., axis] = 1
    return patches


def towards(cosine: float) -> np.ndarray:
    """A unit vector at that cosine to the axis 0."""
    vector = np.zeros(WIDTH, np.float32)
    vector[:2] = cosine, np.sqrt(1 - cosine**2)
    return vector
