"""`vwt vocab learn`: words from the frames of several sources."""

from __future__ import annotations

import random
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.frame import Pixels
from pipeline.models import model_input
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.warmup import learn_words
from vocab.words import Vocabulary
from workers.notices import Notices


@dataclass(frozen=True, slots=True)
class Learned:
    """A vocabulary, and how many of the frames seen it was learned from."""

    vocabulary: Vocabulary
    frames: int
    seen: int


def learn_from_sources(
    sources: Sequence[str],
    words: int,
    model: str,
    notices: Notices,
    frames: int,
    fps: float | None = None,
    max_frames: int | None = None,
    seed: int = 0,
    fit: str | None = None,
    size: str | None = None,
) -> Learned:
    """Learns words from frames drawn evenly (reservoir sampling) over everything the sources show.

    Args:
        sources: SOURCE arguments of `vwt run`.
        words: how many words.
        model: whose input they are for.
        notices: says what happens on the way.
        frames: how many frames to learn from.
        fps: sampling rate on presentation time; None for every frame.
        max_frames: frames looked at per source; None for all. Live sources need it.
        seed: of the draws.
        fit, size: of the input, as `vwt run` takes them.

    Raises:
        UsageError: a live source without `max_frames`, or a model that takes no words, that fit or size.
        SourceError, ModelError: as `vwt run`.
        VocabularyError: when the frames hold fewer patches than words.
    """
    model_spec, patch_size = model_input(model, fit, size)
    if patch_size is None:
        raise UsageError(
            f"model '{model}' takes no words: it runs in full only; `vwt models` lists those that take any"
        )
    drawn: list[Pixels] = []
    draw = random.Random(seed)
    seen = 0
    for text in sources:
        spec = parse_source(text)
        with (
            notices.waiting(f"looking at {spec.display}"),
            closing(
                open_source(spec, SourceOptions(fps=fps), lambda notice: notices.say(notice.message))
            ) as source,
        ):
            if source.info.live and max_frames is None:
                raise UsageError(f"{source.info.display} has no end; say how long to look with --max-frames")
            reader = FrameReader(source, Preprocessor(model_spec), fps=fps, max_frames=max_frames)
            while (batch := reader.batch(16)) is not None:
                for frame in batch:
                    seen += 1
                    if len(drawn) < frames:
                        drawn.append(frame.image)
                    elif (place := draw.randrange(seen)) < frames:
                        drawn[place] = frame.image
    with notices.waiting(f"learning {words} words from {len(drawn)} frames"):
        vocabulary = learn_words(drawn, model_spec, patch_size, words, seed=seed, strict=True)
    return Learned(vocabulary, len(drawn), seen)
