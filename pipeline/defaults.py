"""Defaults that more than one module states. Free of heavy imports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

DEFAULT_MODEL = "dinov2_vits14_saliency"
DEFAULT_BATCH = 8
# Of `inter`, chosen by measurement (python -m benchmarks.defaults): of the settings whose change score was at
# least 0.75 on every sample clip, the one that kept the fewest tokens.
DEFAULT_WORDS = 1000
DEFAULT_THRESHOLD = 0.02
DEFAULT_WARMUP_FRAMES = 64
DEFAULT_DROP = 0.5
DEFAULT_WATTS_PER_CORE = 5.0
DEFAULT_RELEARN_AFTER_S = 600.0
DEFAULT_WINDOW_FPS = 0.5
DEFAULT_WINDOW_PATCHES = 64


def default_tokenizer(taken: Sequence[str]) -> Literal["inter", "full"]:
    """What runs where none was asked for, by the names of those that the model takes."""
    return "inter" if "inter" in taken else "full"
