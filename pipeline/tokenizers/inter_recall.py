"""Inter-image tokenizer with a memory: what kept its visual word is recalled from the stream's last frames.

A still camera's patches keep their words, so next to nothing of its frames is computed anew; none of what is
computed is merged.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from pipeline.frame import Frame
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stateful import (
    CACHES,
    Decided,
    Decision,
    Memory,
    Ran,
    Run,
    StatefulTokenizer,
    after_s,
    goes_on,
)
from pipeline.tokenizers.states import INTACT, RECALLED
from vocab.words import Vocabulary

if TYPE_CHECKING:
    from pipeline.models.positions import Place

# Part of the threshold by which another word has to be nearer than the old one: noise alone sends a patch
# that lies between two words back and forth.
_NEARER = 0.1
# From this share of changed patches on all run; and so many frames after one in which all ran, at the latest.
_FULL_SHARE, _FULL_EVERY = 0.9, 48


class RecallingInterTokenizer(StatefulTokenizer):
    """Runs those patches of each frame of one stream that changed their word, or within it too much.

    Args:
        vocabulary: the visual words.
        threshold: cosine distance (0..2) by which the pixels of a patch may move; None for the default.
        cache: type that keys and values are kept in, "fp32", "bf16" or "int8"; None for the default.

    Raises:
        UsageError: when one is out of range.
    """

    name = "inter"

    def __init__(
        self, vocabulary: Vocabulary, threshold: float | None = None, cache: str | None = None
    ) -> None:
        self.vocabulary = vocabulary
        self.vocab_version = vocabulary.version
        kind = TOKENIZERS[self.name]
        self.threshold = kind.value("threshold", threshold)
        self._cache = CACHES[kind.choice("cache", cache)]
        self._state: _State | None = None

    @property
    def bytes(self) -> int:
        """See `StatefulTokenizer.bytes`."""
        state = self._state
        return 0 if state is None else state.bytes

    def checked(self, patches: torch.Tensor, ran: Ran) -> None:  # noqa: ARG002
        """See `StatefulTokenizer.checked`."""
        if self._state is not None:
            words = self.vocabulary.match(patches).word
            self._state.take(self._state.newest, patches, words, None)
            self._state.age = 0

    def take_over(self, other: StatefulTokenizer) -> None:
        """See `StatefulTokenizer.take_over`."""
        if isinstance(other, RecallingInterTokenizer):
            self._state = other._state

    def forget(self) -> None:
        """See `StatefulTokenizer.forget`."""
        self._state = None

    def answer(self, frame: Frame, place: Place, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:
        """See `StatefulTokenizer.answer`.

        Raises:
            VocabularyError: when the vocabulary is of another patch size.
        """
        count = len(patches)
        match = self.vocabulary.match(patches)
        flops = 2 * patches.numel() * len(self.vocabulary)
        states = torch.full((count,), INTACT, dtype=torch.uint8, device=patches.device)
        state = self._state
        if state is None or not goes_on(state.newest, state.place, frame, place):
            memory = Memory(self._cache)
            yield Run(memory)
            # Only now is it whole.
            self._state = _State(memory, frame, place, patches, match.word)
            return Decided("full", memory, states, count, flops)

        before = F.cosine_similarity(self.vocabulary.words[state.words], patches, dim=1)
        other = (match.word != state.words) & (1 - before > match.distance + _NEARER * self.threshold)
        changed = other | (_moved(patches, state.pixels) > self.threshold)
        flops += 8 * patches.numel()
        kept = int(changed.sum())
        state.newest = frame
        state.age += 1
        if kept > _FULL_SHARE * count or state.age >= _FULL_EVERY:
            yield Run(state.memory)
            state.take(frame, patches, match.word, None)
            return Decided("full", state.memory, states, count, flops)
        decision: Decision = "recall"
        held_ms = None
        states = torch.where(changed, states, RECALLED)
        if kept:
            # By rank, since picking by a mask would wait for the device.
            rows = changed.int().argsort(descending=True, stable=True)[:kept]
            yield Run(state.memory, rows)
            state.take(frame, patches, match.word, rows)
        else:
            decision, held_ms = "hold", state.held_ms(frame)
        return Decided(decision, state.memory, states, kept, flops, held_ms)


class _State:
    """All that a stream keeps.

    Attributes:
        memory: keys, values and output tokens.
        place: of the patches.
        newest: the last frame.
        pixels: (N, 3*P*P) that each position was computed from.
        words: (N,) that they were nearest to.
        age: frames since one ran in full.
        bytes: that all of it takes.
    """

    def __init__(
        self, memory: Memory, frame: Frame, place: Place, patches: torch.Tensor, words: torch.Tensor
    ) -> None:
        self.memory = memory
        self.place = place
        self.newest = self._answered = frame
        self.pixels = patches.clone()
        self.words = words.clone()
        self.age = 0
        # It never changes.
        self.bytes = memory.bytes + sum(part.numel() * part.element_size() for part in (patches, words))

    def held_ms(self, frame: Frame) -> float:
        """Age of the last answer when a frame is shown."""
        return 1000 * after_s(self._answered, frame)

    def take(
        self, frame: Frame, patches: torch.Tensor, words: torch.Tensor, rows: torch.Tensor | None
    ) -> None:
        """Notes what was computed anew for a frame: some positions, or all where `rows` is None."""
        every = slice(None) if rows is None else rows
        self.pixels[every] = patches[every]
        self.words[every] = words[every]
        self._answered = frame
        if rows is None:
            self.age = 0


def _moved(patches: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """(N,) cosine distance between patches and what they were, with what their length changed by.

    |a - b|^2 / (2 |a| |b|) is the cosine distance where both are equally long, and more where they are not:
    to a word a wall is the same in the dark, to the model it is not.
    """
    lengths = patches.norm(dim=1) * pixels.norm(dim=1)
    moved: torch.Tensor = (patches - pixels).square().sum(dim=1) / (2 * lengths).clamp_min(1e-12)
    return moved
