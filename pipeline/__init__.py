"""Frames in, results out: the whole pipeline, without Ray. `import pipeline as vwt` in a notebook.

    for result in vwt.run("clip.mp4", tokenizer="inter", fps=5):
        print(result.pts_s, result.prediction, result.energy)

`run` does what `vwt run` does, `load_model` and `Engine` do one batch of arrays. All names load on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocab.first_use import on_first_use

if TYPE_CHECKING:
    from pipeline.engine import Engine
    from pipeline.errors import VwtError
    from pipeline.models import find_models, load_model
    from pipeline.results import FrameResult
    from pipeline.streaming import run
    from pipeline.tokenizers import TOKENIZERS

__all__ = ["TOKENIZERS", "Engine", "FrameResult", "VwtError", "find_models", "load_model", "run"]

_WHERE = {
    "TOKENIZERS": "tokenizers",
    "Engine": "engine",
    "FrameResult": "results",
    "VwtError": "errors",
    "find_models": "models",
    "load_model": "models",
    "run": "streaming",
}

# Some modules here are used where torch is not wanted.
__getattr__ = on_first_use(__name__, _WHERE)
