"""Patches and visual words: what a vocabulary is, how it is learned, and where it is kept.

words = vocab.Vocabulary.learn(vocab.patchify(images, 14).flatten(0, 1), words=1000)
match = words.match(vocab.patchify(images, 14))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocab.errors import VocabularyError
    from vocab.patches import patchify
    from vocab.words import Match, Normalisation, Vocabulary

__all__ = ["Match", "Normalisation", "Vocabulary", "VocabularyError", "patchify"]

_WHERE = {
    "Match": "words",
    "Normalisation": "words",
    "Vocabulary": "words",
    "VocabularyError": "errors",
    "patchify": "patches",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded on first use: errors and keys are used where torch is not wanted."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
