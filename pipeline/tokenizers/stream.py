"""A tokenizer at work on one stream: what it waits for, and what plans the next frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from pipeline.frame import Frame
from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.full import FullTokenizer
from pipeline.tokenizers.registry import Kind
from pipeline.tokenizers.stateful import StatefulTokenizer
from vocab.words import Vocabulary

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


class WordSource(Protocol):
    """Where the words of a stream come from while it runs."""

    @property
    def missing(self) -> int:
        """Frames it wants to see in full before it can give words."""
        ...

    def observe(self, frames: Sequence[Frame]) -> None:
        """Takes in frames that are about to run."""
        ...

    def vocabulary(self) -> Vocabulary | None:
        """The words to use from now on; None while there are none."""
        ...


@dataclass(frozen=True, slots=True)
class StreamNeeds:
    """What a tokenizer is given to work on a stream.

    Attributes:
        words: gives words; None where the tokenizer wants none.
    """

    words: WordSource | None = None


class StreamTokenizer(Protocol):
    """A tokenizer of one stream. It may remember; it can be dropped at any time."""

    @property
    def missing(self) -> int:
        """Frames to run in full first."""
        ...

    @property
    def learning(self) -> bool:
        """Whether frames run in full because there are no words yet."""
        ...

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The words in use; None while there are none, and for tokenizers that want none."""
        ...

    @property
    def bytes(self) -> int:
        """What it keeps of earlier frames, beside words."""
        ...

    def next(self, frames: Sequence[Frame]) -> Tokenizer | StatefulTokenizer:
        """What plans these frames, the next of the stream, or answers them.

        It changes between batches, never inside one.
        """
        ...

    def tune(self, options: Mapping[str, Any]) -> None:
        """Works with these options, all of the tokenizer's, from the next batch on."""
        ...

    def forget(self) -> None:
        """Lets go of what it keeps of earlier frames, at any time and from any thread."""
        ...

    def close(self) -> None:
        """Lets go of what it holds."""
        ...


class SameTokenizer:
    """The same tokenizer for all frames; a stateful one is the stream's own.

    Args:
        make: makes the tokenizer with its options.
        options: at first.
    """

    missing = 0
    learning = False
    vocabulary = None

    def __init__(
        self, make: Callable[..., Tokenizer | StatefulTokenizer], options: Mapping[str, Any] = NO_OPTIONS
    ) -> None:
        self._make = make
        self._tokenizer = make(**options)

    @property
    def bytes(self) -> int:
        """See `StreamTokenizer.bytes`."""
        return self._tokenizer.bytes if isinstance(self._tokenizer, StatefulTokenizer) else 0

    def next(self, frames: Sequence[Frame]) -> Tokenizer | StatefulTokenizer:  # noqa: ARG002
        """See `StreamTokenizer.next`."""
        return self._tokenizer

    def tune(self, options: Mapping[str, Any]) -> None:
        """See `StreamTokenizer.tune`; what is kept of earlier frames stays where it can."""
        tuned = self._make(**options)
        if isinstance(tuned, StatefulTokenizer) and isinstance(self._tokenizer, StatefulTokenizer):
            tuned.take_over(self._tokenizer)
        self._tokenizer = tuned

    def forget(self) -> None:
        """See `StreamTokenizer.forget`."""
        if isinstance(self._tokenizer, StatefulTokenizer):
            self._tokenizer.forget()

    def close(self) -> None:
        """See `StreamTokenizer.close`."""
        self.forget()


class WordsTokenizer:
    """Runs frames in full until there are words, then plans with the newest.

    Args:
        words: gives them, and sees all frames.
        make: makes the tokenizer for a vocabulary, with its options.
        options: at first.
    """

    def __init__(
        self,
        words: WordSource,
        make: Callable[..., Tokenizer | StatefulTokenizer],
        options: Mapping[str, Any] = NO_OPTIONS,
    ) -> None:
        self.vocabulary: Vocabulary | None = None
        self._words = words
        self._make = make
        self._options = options
        self._now = SameTokenizer(FullTokenizer)
        self._change()

    @property
    def bytes(self) -> int:
        """See `StreamTokenizer.bytes`."""
        return self._now.bytes

    @property
    def missing(self) -> int:
        """See `StreamTokenizer.missing`."""
        return self._words.missing if self.learning else 0

    @property
    def learning(self) -> bool:
        """See `StreamTokenizer.learning`."""
        return self.vocabulary is None

    def next(self, frames: Sequence[Frame]) -> Tokenizer | StatefulTokenizer:
        """See `StreamTokenizer.next`."""
        self._change()
        self._words.observe(frames)
        return self._now.next(frames)

    def tune(self, options: Mapping[str, Any]) -> None:
        """See `StreamTokenizer.tune`."""
        self._options = dict(options)
        if self.vocabulary is not None:
            self._now.tune(options)

    def forget(self) -> None:
        """See `StreamTokenizer.forget`."""
        self._now.forget()

    def close(self) -> None:
        """See `StreamTokenizer.close`; whoever made the source of the words closes it."""
        self._now.close()

    def _change(self) -> None:
        newest = self._words.vocabulary()
        if newest is not None and newest is not self.vocabulary:
            # What was kept goes with the words it was kept by, at the price of one full frame.
            self.vocabulary = newest
            self._now = SameTokenizer(partial(self._make, vocabulary=newest), self._options)


class GivenWords:
    """A vocabulary that stays, as a source of words."""

    missing = 0

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def observe(self, frames: Sequence[Frame]) -> None:
        """See `WordSource.observe`."""

    def vocabulary(self) -> Vocabulary:
        """See `WordSource.vocabulary`."""
        return self._vocabulary


def open_stream(kind: Kind, options: Mapping[str, Any], stream: StreamNeeds) -> StreamTokenizer:
    """See `Kind.open`; `options` are checked."""
    tokenizer = kind.load()
    if not kind.wants_words(options):
        return SameTokenizer(tokenizer, options)
    assert stream.words is not None, f"{kind.name} wants words"
    return WordsTokenizer(stream.words, tokenizer, options)
