"""Patches and visual words: what a vocabulary is, how it is learned, and where it is kept.

words = vocab.Vocabulary.learn(vocab.patchify(images, 14).flatten(0, 1), words=1000)
match = words.match(vocab.patchify(images, 14))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vocab.first_use import on_first_use

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

# Errors and keys are used where torch is not wanted.
__getattr__ = on_first_use(__name__, _WHERE)
