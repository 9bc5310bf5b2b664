"""Learns the words of a stream from its own first frames."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby

import numpy as np
import torch

from pipeline.frame import Frame, Pixels
from pipeline.input_spec import InputSpec
from vocab.background import step_back
from vocab.patches import patchify
from vocab.words import Vocabulary


def learn_words(
    images: list[Pixels],
    spec: InputSpec,
    patch_size: int,
    words: int,
    *,
    seed: int = 0,
    version: int = 0,
    device: torch.device | str = "cpu",
    strict: bool = False,
) -> Vocabulary:
    """Learns a vocabulary from model inputs.

    Args:
        images: model inputs, uint8 (H, W, 3) each, of whatever sizes.
        spec: how the model normalises them.
        patch_size: side of a patch in pixels.
        words: how many words.
        seed, version: see `Vocabulary.learn`.
        device: where the learning runs and the words stay.
        strict: refuse images that hold fewer patches than words, rather than learn fewer words.

    Raises:
        VocabularyError: see `strict`.
    """
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (spec.mean, spec.std))
    found = []
    for _, alike in groupby(images, key=lambda image: image.shape):
        pixels = (
            torch.from_numpy(np.stack(list(alike))).to(device).permute(0, 3, 1, 2).to(torch.float32) / 255
        )
        found.append(patchify((pixels - mean) / std, patch_size).flatten(0, 1))
    patches = torch.cat(found)
    return Vocabulary.learn(
        patches,
        words if strict else min(words, len(patches)),
        seed=seed,
        version=version,
        normalisation=spec.normalisation,
    )


class WordLearner:
    """Collects the first frames of a stream, then learns words from them in a thread of its own.

    Args:
        spec: the model's input.
        patch_size: side of a patch in pixels.
        words: how many words to learn.
        frames: how many frames to learn from.
        wait: whether `vocabulary` waits for the learning (files: no frame runs in full that need not) or
            not (live: no frame waits).
        device: where the learning runs and the words stay.
        version: of the learned vocabulary.
    """

    def __init__(
        self,
        spec: InputSpec,
        patch_size: int,
        words: int,
        frames: int,
        wait: bool,
        device: torch.device,
        version: int = 1,
    ) -> None:
        self._spec = spec
        self._patch_size = patch_size
        self._words = words
        self._wanted = frames
        self._wait = wait
        self._device = device
        self._version = version
        self._images: list[Pixels] = []
        self._learning: Future[Vocabulary] | None = None

    @property
    def missing(self) -> int:
        """Frames still to be seen before learning starts."""
        return self._wanted - len(self._images) if self._learning is None else 0

    def observe(self, frames: Sequence[Frame]) -> None:
        """Takes in frames that run in full; starts learning when there are enough."""
        if self._learning is not None:
            return
        self._images += [frame.image for frame in frames[: self.missing]]
        if self.missing == 0:
            pool = ThreadPoolExecutor(
                1, thread_name_prefix="vwt-words", initializer=None if self._wait else step_back
            )
            self._learning = pool.submit(
                learn_words,
                self._images,
                self._spec,
                self._patch_size,
                self._words,
                version=self._version,
                device=self._device,
            )
            self._images = []
            pool.shutdown(wait=False)

    def vocabulary(self) -> Vocabulary | None:
        """The words once they are learned.

        Raises:
            VocabularyError: when they could not be learned.
        """
        if self._learning is None or not (self._wait or self._learning.done()):
            return None
        return self._learning.result()
