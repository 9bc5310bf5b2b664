"""Whether a history finds a thing again by what attention took from it: persons, and what is none.

    OMP_NUM_THREADS=1 python -m benchmarks.find_things ../shared/clips/cctv.avi [--tokenizer recall]

The history is of two who walk at a time, pasted through the empty scene of the clip: people of two of its
frames, vehicles and a cyclist (`benchmarks.names`). Looked for are boxes of pictures of the same scene in
which people of two other frames walk, some taller than 60 pixels and some not, and the same vehicles
elsewhere. Of ten moments that are found (or as many as there are) counts the share that show such a thing,
and where the history says where, the share of boxes that are on one (IoU 0.3). Compared are the windows of
every history (features of the last block), and what changed, by its features and by its values.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import adaptive_avg_pool2d

from benchmarks.common import write_results
from benchmarks.names import LEARNED_FROM, TOLD_FROM, things
from benchmarks.scene import FROM_S, Cut, Pixels, boxes_of, clip_of, cutouts, empty, outputs_of, pasted
from pipeline.boxes import Box, iou
from pipeline.frame import Geometry
from pipeline.history import Moment, Novelty, Wanted, Widths, find, pack, unpack
from pipeline.history.moments import Records
from pipeline.looking import Part
from pipeline.models import Model, load_model
from pipeline.reading import FrameOutput, PatchFeatures
from pipeline.results import CELLS, Prediction
from pipeline.things import thing_in, things_in

WALKING = 2
# How near to the border a box may be that is looked for, and how high small persons are at most.
_EDGE, _SMALL = 0.02, 60 / 576
_KINDS = ("van", "bicycle", "red car")

# Features of the last block, or values, of a frame.
_Of = Callable[[FrameOutput], PatchFeatures]


class _Shown(NamedTuple):
    """A frame: where it lies in the input, what came out, what changed, and what there is."""

    geometry: Geometry
    output: FrameOutput
    boxes: Sequence[Box]
    truth: Sequence[Box]


def shown(
    model: Model, tokenizer: str, plate: Pixels, cuts: Sequence[Cut], seed: int, every: int = 1
) -> list[_Shown]:
    """The frames of a scene from when it is known what is usual."""
    frames = list(pasted(plate, cuts, seed, walking=WALKING))[::every]
    seen = list(
        outputs_of(model, (tokenizer, {}), ((now, picture) for now, picture, _ in frames), values=True)
    )
    patches = [(frame, output.patches) for frame, output in seen if output.patches is not None]
    boxes, _ = boxes_of(model, patches)
    return [
        _Shown(frame.geometry, output, own, truth)
        for (frame, output), own, (now, _, truth) in zip(seen, boxes, frames, strict=True)
        if now >= FROM_S
    ]


def history(seen: Sequence[_Shown], of: _Of, patch_size: int) -> Records:
    """All of these frames as moments, with their windows and what changed."""
    records, widths = [], None
    for number, one in enumerate(seen):
        own = things_in(of(one.output), one.boxes, one.geometry, patch_size)
        said = Prediction("embedding", embedding=[1.0], cells=_cells(of(one.output)))
        records.append(pack(number + 1, Moment(number, None, None), said, own))
        widths = Widths.of(said, own)
    assert widths is not None
    return unpack(b"".join(records), widths)


def looked_for(seen: Sequence[_Shown], wanted: Callable[[Box], bool]) -> list[tuple[_Shown, Box]]:
    """The boxes of pictures that are wanted and wholly seen."""
    return [
        (one, box)
        for one in seen
        for box in one.truth
        if wanted(box) and box.x > _EDGE and box.x + box.w < 1 - _EDGE
    ]


def precision(
    records: Records,
    seen: Sequence[_Shown],
    queries: Sequence[tuple[_Shown, Box]],
    of: _Of,
    patch_size: int,
    among_things: bool,
) -> dict[str, float]:
    """P@10 of moments that show such a thing, and of boxes that are on one."""
    moments, places = [], []
    for one, box in queries:
        values, part = of(one.output), Part(box.x, box.y, box.w, box.h)
        window = np.einsum("rc,rcd->d", part.weights(one.geometry), _cells(values))
        thing = thing_in(values, box, one.geometry, patch_size) if among_things else None
        there = sum(any(other.name == box.name for other in frame.truth) for frame in seen)
        found = find(records, Wanted(window, part=True, thing=thing), top=min(10, there), apart_s=0)
        truths = [
            [other for other in seen[hit.moment.frame].truth if other.name == box.name] for hit in found
        ]
        moments.append(np.mean([bool(own) for own in truths]))
        if among_things:
            boxes = [
                Box(x, y, w, h, "", 1.0) for x, y, w, h in (hit.box for hit in found if hit.box is not None)
            ]
            pairs = zip(boxes, truths, strict=True)
            places.append(np.mean([any(iou(own, hit) >= 0.3 for own in truth) for hit, truth in pairs]))
    figures = {"moments": round(float(np.mean(moments)), 3)}
    return figures | ({"boxes": round(float(np.mean(places)), 3)} if places else {})


def _cells(values: PatchFeatures) -> np.ndarray:
    grid = torch.from_numpy(values).permute(2, 0, 1)
    return adaptive_avg_pool2d(grid, CELLS).permute(1, 2, 0).numpy()


def _last(output: FrameOutput) -> PatchFeatures:
    assert output.patches is not None
    return output.patches


def _values(output: FrameOutput) -> PatchFeatures:
    assert output.values is not None
    return output.values


def _kept(seen: Sequence[_Shown]) -> dict[str, int]:
    """Moments that `vwt run --index` would keep of these frames."""
    novelty = Novelty()
    kept = [novelty.keeps(one.output.prediction, one.output.decision) for one in seen]
    return {"frames": len(seen), "kept": sum(kept)}


def main() -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--size", default="448")
    parser.add_argument("--tokenizer", default="full")
    args = parser.parse_args()
    torch.set_num_threads(1)
    frames = clip_of(args.clip)
    plate = empty(frames)
    others = things({"": frames, "sample:bikes": clip_of("sample:bikes")})
    model = load_model(size=args.size, fit="native", embedding_only=True)
    assert model.patch_size is not None
    kept = cutouts(frames, plate, TOLD_FROM)
    seen = [one for seed in (5, 6) for one in shown(model, args.tokenizer, plate, [*kept, *others * 4], seed)]
    own = cutouts(frames, plate, LEARNED_FROM)
    asked = [
        one
        for seed, cuts in ((8, [*own, *others * 2]), (9, own))
        for one in shown(model, "full", plate, cuts, seed, every=4)
    ]
    queries = {
        "persons": looked_for(asked, lambda box: box.name == "person" and box.h > _SMALL),
        "small persons": looked_for(asked, lambda box: box.name == "person" and box.h <= _SMALL),
        "vehicles and a cyclist": looked_for(asked, lambda box: box.name in _KINDS),
    }
    found: dict[str, object] = {"tokenizer": args.tokenizer, "size": args.size, "history": _kept(seen)}
    for what, boxes in queries.items():
        chance = np.mean([any(own.name == box.name for own in one.truth) for _, box in boxes for one in seen])
        figures: dict[str, Any] = {"queries": len(boxes), "by chance": round(float(chance), 3)}
        found[what] = figures
        for name, of, among in (
            ("windows", _last, False),
            ("what changed, last block", _last, True),
            ("what changed, values", _values, True),
        ):
            records = history(seen, of, model.patch_size)
            figures[name] = precision(records, seen, boxes, of, model.patch_size, among)
        print(what, figures, flush=True)
    write_results(f"find_things_{args.tokenizer}", found)


if __name__ == "__main__":
    main()
