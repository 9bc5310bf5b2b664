"""A clip as frames in memory, for what looks at the same frames more than once."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.frame import Frame
from pipeline.preprocess import Preprocessor
from pipeline.sampling import RateSampler
from pipeline.sources import OnNotice, SourceOptions, SourceSpec, open_source, parse_source


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of a clip.

    Attributes:
        name: of the clip.
        first: its first frames, every one of them.
        sampled: frames after those, at the rate that was asked for.
    """

    name: str
    first: list[Frame]
    sampled: list[Frame]


def clip_source(text: str) -> SourceSpec:
    """Reads the name of a clip, which is on this machine and the same when read again.

    Raises:
        UsageError: it is none.
    """
    spec = parse_source(text)
    if not spec.local:
        raise UsageError(f"{spec.display} is not a clip: give a file or sample:NAME, which can be read again")
    return spec


def read_clip(
    source: str,
    preprocess: Preprocessor,
    *,
    fps: float | None,
    first: int,
    limit: int,
    on_notice: OnNotice = lambda _notice: None,
) -> Clip:
    """Decodes a clip, once.

    Args:
        source: a path or sample:NAME.
        preprocess: makes model inputs.
        fps: frames per second of presentation time to sample; None for every frame.
        first: how many frames from the start to take all of; at most a quarter of the clip.
        limit: at most how many frames to sample.
        on_notice: told what happens on the way.

    Raises:
        UsageError: the source is not a clip, or too short for one frame behind the first ones.
        SourceError: it cannot be read.
    """
    spec = clip_source(source)
    sampler = RateSampler(fps)
    begin: list[Frame] = []
    sampled: list[tuple[int, Frame]] = []
    count = 0
    with closing(open_source(spec, SourceOptions(), on_notice)) as opened:
        for number, decoded in enumerate(opened.frames()):
            count = number + 1
            wanted = sampler.wants(decoded.times.pts_s)
            if number < first or wanted:
                image, geometry, _ = preprocess(decoded.picture, decoded.display)
                frame = Frame(decoded.times, image, geometry)
                if number < first:
                    begin.append(frame)
                if wanted:
                    sampled.append((number, frame))
            # Frames before the end of the first ones may not count in the end.
            if number >= 4 * first and len(sampled) - sum(at < first for at, _ in sampled) >= limit:
                break
    begin = begin[: min(first, count // 4)]
    behind = [frame for number, frame in sampled if number >= len(begin)][:limit]
    if not behind:
        raise UsageError(f"{spec.display} is too short: {count} frames, none to judge; give a longer clip")
    return Clip(spec.name, begin, behind)
