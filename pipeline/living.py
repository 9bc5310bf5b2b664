"""Words that live: learned from the rolling window of a scope, never in the way of a frame."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Full, Queue

import numpy as np
import numpy.typing as npt

from pipeline.frame import Frame
from pipeline.warmup import WordLearner
from vocab.errors import StoreUnavailable
from vocab.follower import VocabularyFollower
from vocab.keeper import VocabularyKeeper
from vocab.window import PatchSampler, RollingWindow
from vocab.words import Vocabulary

_Patches = npt.NDArray[np.uint8]
# Patches that wait for a slow store; beyond that the newest are left out, and counted.
_WAITING_FRAMES = 64


class LivingWords:
    """Feeds a window with a stream's patches and hands out the scope's newest words.

    Until the scope has words, they are learned from the stream's first frames and offered to the keeper.

    Args:
        sampler: which frames and patches go to the window.
        window: of the scope.
        keeper: relearns from the window.
        follower: fetches what any keeper of the scope published.
        learner: learns the first words.

    Attributes:
        left_out: sampled frames whose patches did not reach the window.
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
        self.left_out = 0
        self._sampler = sampler
        self._window = window
        self._follower = follower
        self._learner = learner
        self._first: Vocabulary | None = None
        self._waiting: Queue[_Patches | None] = Queue(_WAITING_FRAMES)
        self._feeder = threading.Thread(target=self._feed, name="vwt-window", daemon=True)

    def __enter__(self) -> LivingWords:
        # The first look is made here, so that words the scope has already are in use from the first frame.
        self._follower.step()
        self._follower.start()
        self.keeper.start()
        self._feeder.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._waiting.put(None)
        self._feeder.join()
        self.keeper.stop()
        self._follower.stop()

    @property
    def missing(self) -> int:
        """Frames still to be seen before first words can be learned; 0 once there are words."""
        return 0 if self._follower.latest() is not None else self._learner.missing

    def observe(self, frames: Sequence[Frame]) -> None:
        """Takes in frames; never waits for the store."""
        if self._follower.latest() is None:
            self._learner.observe(frames)
        for frame in frames:
            at_s = frame.ready_at if frame.pts_s is None else frame.pts_s
            patches = self._sampler.take(frame.image, at_s)
            if patches is not None:
                try:
                    self._waiting.put_nowait(patches)
                except Full:
                    self.left_out += 1

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

    def _feed(self) -> None:
        while (patches := self._waiting.get()) is not None:
            try:
                self._window.add(patches)
            except StoreUnavailable:
                # The keeper says that the store is away; a window with a gap is still a window.
                self.left_out += 1
