"""What a zone looks like at moments of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.frame import Decoded, Frame
from pipeline.models import Model
from pipeline.preprocess import Preprocessor
from pipeline.reading import PatchFeatures
from pipeline.scene.polygon import Polygon
from pipeline.scene.zones import Vector
from pipeline.sources import OnNotice, SourceOptions, open_source, parse_source
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer


def frames_at(
    source: str, times_s: Sequence[float], preprocess: Preprocessor, on_notice: OnNotice
) -> list[Frame]:
    """The frames of a clip that are shown at some times.

    Args:
        source: a file or sample:NAME.
        times_s: presentation times in seconds, as results have them in `pts_s`.
        preprocess: makes model inputs.
        on_notice: told what happens on the way.

    Returns:
        One per time, in their order.

    Raises:
        UsageError: a time is not in the clip, or the source is no clip.
        SourceError: it cannot be read.
    """
    spec = parse_source(source)
    if not spec.local:
        raise UsageError(
            f"{spec.display} is not a clip: give a file or sample:NAME, whose times can be named"
        )
    waiting = sorted(set(times_s))
    found: dict[float, Frame] = {}
    before: Decoded | None = None
    with closing(open_source(spec, SourceOptions(), on_notice)) as opened:
        for decoded in opened.frames():
            pts_s = decoded.times.pts_s
            if pts_s is None:
                raise UsageError(f"{spec.display} has frames without a time, so that none can be named")
            # What is shown at a time is the last frame that has begun.
            while waiting and pts_s > waiting[0]:
                if before is None:
                    raise UsageError(f"{spec.display} begins at {pts_s:g} s, behind {waiting[0]:g} s")
                found[waiting.pop(0)] = _frame(before, preprocess)
            if not waiting:
                break
            before = decoded
        if waiting and before is not None and before.times.pts_s is not None:
            if waiting[-1] > before.times.pts_s + 1:
                raise UsageError(
                    f"{spec.display} ends at {before.times.pts_s:g} s: there is nothing at {waiting[-1]:g} s"
                )
            found |= {time_s: _frame(before, preprocess) for time_s in waiting}
    if len(found) < len(set(times_s)):
        raise UsageError(f"there are no frames in {spec.display}")
    return [found[time_s] for time_s in times_s]


def patches_of(model: Model, frames: Sequence[Frame]) -> list[PatchFeatures]:
    """(rows, columns, C) of each frame, run in full."""
    if model.patch_size is None:
        raise UsageError(f"model '{model.name}' has no patches to compare; zones want a Vision Transformer")
    engine, found = Engine(model), []
    for frame in frames:
        (output,) = engine.submit_parts([Part([frame], FullTokenizer(), patches=True)]).result().frames
        assert output.patches is not None
        found.append(output.patches)
    return found


def examples_of(
    polygon: Polygon, frames: Sequence[Frame], patches: Sequence[PatchFeatures], patch_size: int
) -> list[Vector]:
    """What the zone looks like in each frame.

    Raises:
        UsageError: the model sees nothing of it.
    """
    found = []
    for frame, own in zip(frames, patches, strict=True):
        seen = polygon.pooled(own, frame.geometry, patch_size)
        if seen is None:
            raise UsageError("the model sees nothing of the zone: its input is cropped; give --fit native")
        found.append(seen)
    return found


def _frame(decoded: Decoded, preprocess: Preprocessor) -> Frame:
    image, geometry, _ = preprocess(decoded.picture, decoded.display)
    return Frame(decoded.times, image, geometry)
