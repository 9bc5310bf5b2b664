"""Names of what changed (`vwt classes learn`): who is found again, and what else is taken for it.

    python -m benchmarks.names ../shared/clips/cctv.avi [--tokenizer recall]

A person is learned from boxes drawn by hand in two frames of the clip. Told are the boxes of what changed,
where people of two later frames walk pasted through the empty scene, and where vehicles and a bicycle of that
clip and of sample:bikes do.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import cv2
import numpy as np
import torch

from benchmarks.scene import DRAWN, FROM_S, Cut, Pixels, boxes_of, clip_of, cutouts, empty, outputs_of, pasted
from pipeline.boxes import Box, iou
from pipeline.frame import Geometry
from pipeline.models import Model, load_model
from pipeline.reading import PatchFeatures
from pipeline.scene.classes import NOT_THIS, Classes, Vector, pooled, told
from pipeline.scene.prototypes import learned_names

LEARNED_FROM, TOLD_FROM = (180, 240), (300, 390)
# Clip, frame and bounds of what is cut out, times its size, and the top where it is pasted.
THINGS = {
    "van": ("", 300, (640, 36, 92, 70), 1.1, 200),
    "car": ("sample:bikes", 168, (340, 96, 140, 76), 0.8, 210),
    "taxi": ("sample:bikes", 120, (0, 0, 290, 268), 0.35, 190),
    "bicycle": ("sample:bikes", 216, (285, 10, 235, 200), 0.38, 220),
    "red car": ("sample:bikes", 24, (480, 0, 160, 70), 0.75, 240),
}
SEEN_S, DRAWS = 24.0, 40


def things(clips: Mapping[str, Sequence[Pixels]]) -> list[Cut]:
    """All of them, cut out by GrabCut."""
    found = []
    for name, (clip, number, (x, y, w, h), times, top) in THINGS.items():
        picture = np.ascontiguousarray(clips[clip][number])
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.setRNGSeed(0)
        cv2.grabCut(picture, mask, (x, y, w, h), None, None, 5, cv2.GC_INIT_WITH_RECT)
        # Odd marks are the thing's.
        own = mask[y : y + h, x : x + w] & 1
        rows, columns = (np.flatnonzero(own.any(axis=axis)) for axis in (1, 0))
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        size = round((columns[-1] + 1 - columns[0]) * times), round((rows[-1] + 1 - rows[0]) * times)
        pixels = cv2.resize(picture[y : y + h, x : x + w][part], size, interpolation=cv2.INTER_AREA)
        found.append(Cut(pixels, cv2.resize(own[part], size, interpolation=cv2.INTER_NEAREST), top, name))
    return found


Looked = tuple[Geometry, PatchFeatures, PatchFeatures]


def looked_at(
    model: Model, tokenizer: tuple[str, dict[str, float]], pictures: Iterable[tuple[float, Pixels]]
) -> list[tuple[float, Looked, list[Box]]]:
    """Time, values, features of the last block and boxes of what changed."""
    outputs = list(outputs_of(model, tokenizer, pictures, values=True))
    seen = [(frame, output.patches) for frame, output in outputs if output.patches is not None]
    boxes, _ = boxes_of(model, seen)
    return [
        (frame.times.pts_s or 0.0, (frame.geometry, output.values, output.patches), own)
        for (frame, output), own in zip(outputs, boxes, strict=True)
        if output.values is not None and output.patches is not None
    ]


def of_truth(found: Sequence[Box], truth: Sequence[Box]) -> list[tuple[Box, str]]:
    """Boxes that overlap a true one not yet taken by .3, with what it is."""
    left, hits = list(truth), []
    for box in found:
        best = max(left, key=lambda other: iou(box, other), default=None)
        if best is not None and iou(box, best) >= 0.3:
            left.remove(best)
            hits.append((box, best.name))
    return hits


def judge(
    people: Sequence[Vector], told_of: Sequence[tuple[Vector, str]], count: int, refused: Sequence[Vector]
) -> str:
    """Draws so many examples again and again; says what came of it on average."""
    random = np.random.default_rng(0)
    others = np.asarray(refused, np.float32).reshape(-1, len(people[0]))
    hits: dict[str, list[float]] = {}
    promised = []
    for _ in range(DRAWS):
        chosen = random.choice(len(people), count, replace=False)
        names = learned_names({"person": [people[row] for row in chosen]}, others)
        promised.append(names["person"].right)
        named = [told(vector, names, others).name == "person" for vector, _ in told_of]
        for kind in {kind for _, kind in told_of}:
            own = [hit for hit, (_, other) in zip(named, told_of, strict=True) if other == kind]
            hits.setdefault(kind, []).append(float(np.mean(own)))
        others_hit = [hit for hit, (_, kind) in zip(named, told_of, strict=True) if kind != "person"]
        hits.setdefault("anything else", []).append(float(np.mean(others_hit)))
    means = {kind: float(np.mean(shares)) for kind, shares in hits.items()}
    person, other = means.pop("person"), means.pop("anything else")
    each = ", ".join(f"{kind} {share:.2f}" for kind, share in sorted(means.items()))
    return (
        f"people named so {person:.2f}, something else {other:.2f} ({each}); "
        f"leave-one-out said {np.mean(promised):.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--size", default="448")
    parser.add_argument("--tokenizer", default="full")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = {"": clip_of(args.clip), "sample:bikes": clip_of("sample:bikes")}
    frames = clips[""]
    plate = empty(frames)
    height, width = plate.shape[:2]
    model = load_model(size=args.size, fit="native")
    assert model.patch_size is not None
    drawn = looked_at(model, ("full", {}), ((n / 10, frames[n]) for n in LEARNED_FROM))
    found: list[tuple[Looked, Box, str]] = []
    for seed, cuts in ((3, cutouts(frames, plate, TOLD_FROM)), (4, things(clips))):
        shown = [one for one in pasted(plate, cuts, seed) if one[0] < SEEN_S]
        seen = looked_at(model, (args.tokenizer, {}), ((now, picture) for now, picture, _ in shown))
        for (now, looked, boxes), (_, _, truth) in zip(seen, shown, strict=True):
            found += [(looked, *hit) for hit in of_truth(boxes, truth) if now >= FROM_S]
    features: dict[Literal[1, 2], str] = {1: "values of block 9", 2: "last block"}
    for which, what in features.items():
        centre: Vector = np.mean([one[which].mean(axis=(0, 1)) for _, one, _ in drawn], axis=0)

        def vector(looked: Looked, box: Box, which: Literal[1, 2] = which, centre: Vector = centre) -> Vector:
            assert model.patch_size is not None
            own = pooled(looked[which], centre, box, looked[0], model.patch_size)
            assert own is not None
            return own

        people = [
            vector(looked, Box(x / width, y / height, w / width, h / height, "person", 1))
            for (_, looked, _), number in zip(drawn, LEARNED_FROM, strict=True)
            for x, y, w, h in DRAWN[number]
        ]
        told_of = [(vector(looked, box), kind) for looked, box, kind in found]
        for count in (5, 10):
            print(f"{what}, {count} boxes:", judge(people, told_of, count, []))
        vans = [one for one, kind in told_of if kind == "van"][:2]
        rest = [(one, kind) for one, kind in told_of if kind != "van"]
        print(f"{what}, 5 boxes and two of the van as '{NOT_THIS}':", judge(people, rest, 5, vans))
        if which == 1:
            names = learned_names({"person": people}, np.zeros((0, len(centre)), np.float32))
            classes = Classes(model.name, "", centre, names, np.zeros((0, len(centre)), np.float32))
            began = time.thread_time()
            for looked, box, _ in found:
                classes.named([box], looked[1], looked[0], model.patch_size)
            took = 1e3 * (time.thread_time() - began) / len(found)
            print(f"naming costs {took:.3f} ms a box; {len(found)} boxes told")


if __name__ == "__main__":
    main()
