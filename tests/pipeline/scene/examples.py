"""Patches whose features are known, and where they lie."""

from __future__ import annotations

import numpy as np

from pipeline.frame import Geometry
from pipeline.reading import PatchFeatures
from pipeline.scene.classes import Classes
from pipeline.scene.prototypes import learned_names

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


def around(axis: int, count: int, spread: float = 0.1, seed: int = 0) -> list[np.ndarray]:
    """Unit vectors near an axis."""
    random = np.random.default_rng(seed)
    vectors = [plain(1, 1, axis)[0, 0] + spread * random.normal(size=WIDTH) for _ in range(count)]
    return [(vector / np.linalg.norm(vector)).astype(np.float32) for vector in vectors]


def a_classes(refused: int = 0) -> Classes:
    """A person at axis 0, a van at axis 1, and so many examples of neither around axis 2."""
    others = np.asarray(around(2, refused, seed=7), np.float32).reshape(-1, WIDTH)
    names = learned_names({"person": around(0, 5), "van": around(1, 5, seed=1)}, others)
    return Classes("a-model", "448x448 native", np.zeros(WIDTH, np.float32), names, others)
