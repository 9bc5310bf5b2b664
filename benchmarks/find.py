"""Whether `vwt find` finds a scene again, and what a search takes: benchmarks/results/find.json.

    OMP_NUM_THREADS=1 python -m benchmarks.find [CLIP ...]

Each clip is remembered as `vwt run --index` does it, at five frames a second. Looked for are frames that were
not sampled, as they are, mirrored, darkened, and boxes in them at random places (--box). A frame that is
found counts where it is of the same scene: of the same clip and between the same cuts, as pixels alone tell.
P@10 is the share that counts of the first ten, or of as many as there are of the scene. The control compares
thumbnails (32 x 32, grey, centred) of the same frames in the same way.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks.common import write_results
from pipeline.frame import Pixels
from pipeline.history import Moment, Novelty, Wanted, Widths, find, pack, unpack
from pipeline.history.nearest import by_numpy, by_usearch
from pipeline.looking import Part, look
from pipeline.models import Model, load_model
from pipeline.results import Prediction
from pipeline.streaming import run

_CLIPS = ("sample:bikes", "sample:bunny", "sample:carphone")
_FPS, _QUERIES = 5.0, 24
# Mean difference of grey thumbnails, 0..1, between frames on both sides of a cut.
_CUT = 0.12
# All frames of all clips are kept at this width.
_WIDE = 480
_SIZES = (1_000, 5_000, 20_000, 80_000)

# What becomes of a picture, and the side of a box in it; None for all of it.
_CHANGES: dict[str, tuple[Callable[[Pixels], Pixels], float | None]] = {
    "as it is": (lambda picture: picture, None),
    "mirrored": (lambda picture: np.ascontiguousarray(picture[:, ::-1]), None),
    "half as bright": (lambda picture: (picture // 2).astype(np.uint8), None),
    "a box of half its sides": (lambda picture: picture, 0.5),
    "a box of a quarter of its sides": (lambda picture: picture, 0.25),
}


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame: its clip and scene, and the picture."""

    clip: str
    scene: int
    pts_s: float
    picture: Pixels


def main() -> None:
    """Prints and writes the figures."""
    clips = sys.argv[1:] or list(_CLIPS)
    torch.set_num_threads(1)
    found: dict[str, Any] = {"clips": clips, **_precision(clips), "search_ms": _times()}
    print(json.dumps(found, indent=2))
    write_results("find", found)


def _precision(clips: Sequence[str]) -> dict[str, Any]:
    model = load_model(embedding=True, cells=True)
    kept: list[tuple[_Shown, Prediction]] = []
    queries: list[_Shown] = []
    sizes = {}
    for clip in clips:
        remembered, sampled, others = _remember(clip, model)
        kept += remembered
        queries += [others[at] for at in np.linspace(0, len(others) - 1, _QUERIES).astype(int)]
        sizes[clip] = {"kept": len(remembered), "sampled": sampled, "scenes": others[-1].scene + 1}
    own = _history([seen for _, seen in kept])
    control = _history([Prediction("embedding", embedding=_thumbnail(shown.picture)) for shown, _ in kept])
    figures = {}
    for change, (apply, side) in _CHANGES.items():
        draw = np.random.default_rng(0)
        ours, theirs = [], []
        for query in queries:
            same = np.array([(s.clip, s.scene) == (query.clip, query.scene) for s, _ in kept])
            if not same.any():
                continue
            picture = apply(query.picture)
            part = None if side is None else _box(draw, side)
            ours.append(_of_ten(own, look(model, picture, part), same))
            theirs.append(_of_ten(control, Wanted(np.array(_thumbnail(_cut(picture, part)))), same))
        figures[change] = {"p_at_10": _mean(ours), "thumbnails": _mean(theirs), "queries": len(ours)}
    return {"histories": sizes, "found": figures}


def _remember(clip: str, model: Model) -> tuple[list[tuple[_Shown, Prediction]], int, list[_Shown]]:
    """What is kept of a clip and was seen there, how many frames were looked at, and the other frames."""
    scenes = list(_scenes(clip))
    novelty, kept, sampled = Novelty(), [], set()
    for result in run(clip, model=model, fps=_FPS):
        assert result.pts_s is not None
        sampled.add(round(result.pts_s, 3))
        if novelty.keeps(result.prediction, result.decision):
            at = min(scenes, key=lambda shown: abs(shown.pts_s - result.pts_s))  # type: ignore[operator]
            kept.append((at, result.prediction))
    return kept, len(sampled), [shown for shown in scenes if round(shown.pts_s, 3) not in sampled]


def _scenes(clip: str) -> Iterator[_Shown]:
    """All frames of a clip, numbered by the cuts before them."""
    before, scene = None, 0
    for result in run(clip, model="null", images=True, meter="none"):
        assert result.image is not None
        assert result.pts_s is not None
        small = _small(result.image)
        height, width = result.image.shape[:2]
        reduced = cv2.resize(result.image, (_WIDE, _WIDE * height // width), interpolation=cv2.INTER_AREA)
        scene += before is not None and float(np.abs(small - before).mean()) > _CUT
        before = small
        yield _Shown(clip, scene, result.pts_s, reduced)


def _small(picture: Pixels) -> np.ndarray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small: np.ndarray = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA) / 255
    return small


def _thumbnail(picture: Pixels) -> list[float]:
    small = _small(picture)
    numbers: list[float] = ((small - small.mean()).ravel() + 1e-6).tolist()
    return numbers


def _cut(picture: Pixels, part: Part | None) -> Pixels:
    if part is None:
        return picture
    height, width = picture.shape[:2]
    top, left = int(part.y * height), int(part.x * width)
    return picture[top : top + int(part.h * height), left : left + int(part.w * width)]


def _box(draw: np.random.Generator, side: float) -> Part:
    """Somewhere in a picture."""
    x, y = draw.uniform(0, 1 - side, 2)
    return Part(x, y, side, side)


def _history(seen: Sequence[Prediction]) -> Any:
    records = [pack(number, Moment(number, None, None), one) for number, one in enumerate(seen, 1)]
    return unpack(b"".join(records), Widths.of(seen[0]))


def _of_ten(history: Any, wanted: Wanted, same: np.ndarray) -> float:
    found = find(history, wanted, top=min(10, int(same.sum())), apart_s=0)
    return float(np.mean([same[one.moment.frame - 1] for one in found]))


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 3)


def _times() -> dict[str, dict[str, float]]:
    """Milliseconds of a search for ten among so many vectors of 384 numbers; one thread, the best of five."""
    draw, figures = np.random.default_rng(0), {}
    for size in _SIZES:
        vectors = draw.normal(size=(size, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        rows, query = vectors.astype(np.float16), vectors[size // 2]
        ways: dict[str, Callable[[], object]] = {
            "numpy": partial(by_numpy, rows, query, 10),
            "usearch": partial(by_usearch, rows, query, 10),
        }
        took: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(5):
            for name, way in ways.items():
                began = time.thread_time()
                way()
                took[name].append((time.thread_time() - began) * 1e3)
        figures[str(size)] = {name: round(min(times), 2) for name, times in took.items()}
    return figures


if __name__ == "__main__":
    main()
