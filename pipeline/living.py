"""Words that live: learned from the rolling window of a scope, never in the way of a frame."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.feeding import WindowFeeder
from pipeline.frame import Frame
from pipeline.warmup import WordLearner
from vocab.follower import VocabularyFollower
from vocab.keeper import VocabularyKeeper
from vocab.window import PatchSampler, RollingWindow
from vocab.words import Vocabulary


class LivingWords:
    """Feeds a window with a stream's patches and hands out the scope's newest words.

    Until the scope has words, they are learned from the stream's first frames and offered to the keeper.

    Args:
        sampler: which frames and patches go to the window.
        window: of the scope.
        keeper: relearns from the window.
        follower: fetches what any keeper of the scope published.
        learner: learns the first words.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        window: RollingWindow,
        keeper: VocabularyKeeper,
        follower: VocabularyFollower,
        learner: WordLearner,
    ) -> None:
        self.keeper = keeper
        self._sampler = sampler
        self._window = window
        self._follower = follower
        self._learner = learner
        self._first: Vocabulary | None = None
        self._feeder = WindowFeeder()

    def __enter__(self) -> LivingWords:
        # The first look is made here, so that words the scope has already are in use from the first frame.
        self._follower.step()
        self._follower.start()
        self.keeper.start()
        self._feeder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._feeder.close()
        self.keeper.stop()
        self._follower.stop()

    @property
    def left_out(self) -> int:
        """Sampled frames whose patches did not reach the window."""
        return self._feeder.left_out

    @property
    def missing(self) -> int:
        """Frames still to be seen before first words can be learned; 0 once there are words."""
        return 0 if self._follower.latest() is not None else self._learner.missing

    def observe(self, frames: Sequence[Frame]) -> None:
        """Takes in frames; never waits for the store."""
        if self._follower.latest() is None:
            self._learner.observe(frames)
        self._feeder.sample(frames, self._sampler, self._window)

    def vocabulary(self) -> Vocabulary | None:
        """The newest words; None while there are none yet."""
        latest = self._follower.latest()
        if latest is not None:
            return latest
        first = self._learner.vocabulary()
        if first is not None and self._first is None:
            self._first = first
            self.keeper.seed(first)
        return first
