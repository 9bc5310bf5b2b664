"""What `--changed` and zones find on a fixed camera, and what it costs beyond the model.

    python -m benchmarks.scene ../shared/clips/cctv.avi --size 448 [--tokenizer recall]

Truth is of two kinds: 24 boxes drawn by hand in four frames of the clip (the first part of OpenCV's
vtest.avi), and people of those boxes pasted onto the clip's empty scene, where every box is known. What is
pasted is judged by nobody's eye, but it is no more than that: people of the same camera, in the same light.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch

from pipeline.boxes import Box, iou
from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes
from pipeline.models import Model, load_model
from pipeline.preprocess import Preprocessor
from pipeline.reading import FrameOutput, PatchFeatures
from pipeline.scene.background import SAMPLES, WINDOW_S, Background
from pipeline.scene.changed import changed_boxes, distances
from pipeline.scene.learning import examples_of
from pipeline.scene.means import learned
from pipeline.scene.polygon import Polygon
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.stacking import Part
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stateful import StatefulTokenizer
from pipeline.tokenizers.stream import StreamNeeds

Pixels = npt.NDArray[np.uint8]

# Left, top, width, height in pixels, of everybody who is in the picture and can be told apart.
DRAWN = {
    180: [(201, 162, 28, 67), (358, 211, 42, 80), (499, 224, 33, 88), (587, 218, 43, 89), (589, 130, 27, 71),
          (681, 100, 16, 57), (704, 101, 16, 53)],
    240: [(39, 176, 22, 68), (236, 155, 28, 77), (452, 250, 30, 102), (615, 200, 25, 78), (657, 272, 49, 107),
          (643, 116, 22, 60), (665, 120, 19, 62)],
    300: [(187, 158, 32, 76), (244, 158, 25, 63), (298, 158, 23, 72), (314, 210, 30, 85), (582, 160, 31, 75),
          (620, 161, 23, 73)],
    390: [(256, 189, 32, 77), (572, 151, 24, 64), (624, 285, 58, 107), (721, 223, 33, 101)],
}  # fmt: skip
# Where people walk in it: bounds left, top, right, bottom of zones.
ZONES = [(0.2, 0.25, 0.4, 0.45), (0.55, 0.35, 0.75, 0.6), (0.35, 0.35, 0.55, 0.55)]
VAN = (640, 42, 85, 58)
FPS, SECONDS, FROM_S = 2.5, 40.0, 8.0


class Cut(NamedTuple):
    """Something that is pasted: pixels, mask, the top where it goes, and what it is."""

    pixels: Pixels
    mask: Pixels
    top: int
    name: str = "person"


def clip_of(path: str) -> list[Pixels]:
    """Every frame, RGB."""
    with closing(open_source(parse_source(path), SourceOptions(), lambda _: None)) as source:
        return [decoded.picture.to_ndarray(format="rgb24") for decoded in source.frames()]


def empty(frames: Sequence[Pixels]) -> Pixels:
    """The scene without anybody: the median of its frames."""
    found: Pixels = np.median(np.stack(frames[::8]), axis=0).astype(np.uint8)
    return found


def cutouts(frames: Sequence[Pixels], plate: Pixels, numbers: Iterable[int] = DRAWN) -> list[Cut]:
    """Everybody who was drawn in some frames."""
    found = []
    for number in numbers:
        for x, y, w, h in DRAWN[number]:
            part = np.s_[y : y + h, x : x + w]
            differs = np.abs(frames[number][part].astype(int) - plate[part]).sum(axis=2) > 45
            mask = cv2.morphologyEx(differs.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
            if mask.mean() > 0.3:
                found.append(Cut(frames[number][part], mask, y))
    return found


def pasted(
    plate: Pixels, people: Sequence[Cut], seed: int, van: Pixels | None = None, walking: int = 4
) -> Iterator[tuple[float, Pixels, list[Box]]]:
    """Time, picture and true boxes: so many who walk through the empty scene, in noise and changing light."""
    random = np.random.default_rng(seed)
    height, width = plate.shape[:2]
    walkers: list[tuple[int, float, float]] = []
    for step in range(round(SECONDS * FPS)):
        now = step / FPS
        walkers = [one for one in walkers if -60 < one[1] + one[2] * now < width]
        while len(walkers) < walking:
            speed = float(random.choice([-1, 1]) * random.uniform(30, 80))
            start = 0.0 if speed > 0 else width - 20.0
            if not step:
                start = float(random.uniform(0, width - 60))
            walkers.append((int(random.integers(len(people))), start - speed * now, speed))
        picture, boxes = plate.copy(), []
        if van is not None:
            for left, top, _, _ in ZONES:
                y, x = round(top * height) + 20, round(left * width) + 30
                picture[y : y + van.shape[0], x : x + van.shape[1]] = van
        for who, start, speed in walkers if van is None else ():
            pixels, mask, y, name = people[who]
            x = round(start + speed * now)
            x0, x1 = max(x, 0), min(x + mask.shape[1], width)
            if x1 - x0 < mask.shape[1] / 2:
                continue
            own = np.s_[:, x0 - x : x1 - x]
            there = picture[y : y + mask.shape[0], x0:x1]
            there[mask[own] > 0] = pixels[own][mask[own] > 0]
            boxes.append(Box(x0 / width, y / height, (x1 - x0) / width, mask.shape[0] / height, name, 1.0))
        lit = picture * (1 + 0.03 * np.sin(now / 7)) + random.normal(0, 2, picture.shape)
        yield now, lit.clip(0, 255).astype(np.uint8), boxes


def outputs_of(
    model: Model,
    tokenizer: tuple[str, dict[str, float]],
    pictures: Iterable[tuple[float, Pixels]],
    values: bool = False,
) -> Iterator[tuple[Frame, FrameOutput]]:
    """Frames with what a stream of them gets that asks for its scene."""
    engine, preprocess, kind = Engine(model), Preprocessor(model.input), kind_of(tokenizer[0])
    with closing(kind.open(kind.check(tokenizer[1]), StreamNeeds(None))) as opened:
        for now, picture in pictures:
            image, geometry, _ = preprocess(picture)
            frame = Frame(FrameTimes(pts_s=now), image, geometry)
            tokenizes = opened.next([frame])
            if isinstance(tokenizes, StatefulTokenizer):
                tokenizes.everywhere = True
            part = Part([frame], tokenizes, patches=True, values=values)
            yield frame, engine.submit_parts([part]).result().frames[0]


def patches_of(
    model: Model, tokenizer: tuple[str, dict[str, float]], pictures: Iterable[tuple[float, Pixels]]
) -> list[tuple[Frame, PatchFeatures]]:
    """Frames with their features."""
    found = []
    for frame, output in outputs_of(model, tokenizer, pictures):
        assert output.patches is not None
        found.append((frame, output.patches))
    return found


def boxes_of(
    model: Model, seen: Sequence[tuple[Frame, PatchFeatures]]
) -> tuple[list[list[Box]], list[float]]:
    """Boxes of each frame, and milliseconds of CPU time that they took."""
    background, found, took = Background(), [], []
    assert model.patch_size is not None
    for frame, patches in seen:
        began = time.thread_time()
        assert frame.times.pts_s is not None
        background.see(patches, frame.times.pts_s)
        usual, boxes = background.usual, []
        if usual is not None:
            boxes = changed_boxes(distances(patches, usual), frame.geometry, model.patch_size)
        took.append(1e3 * (time.thread_time() - began))
        found.append(boxes)
    return found, took


def score(pairs: Sequence[tuple[Sequence[Box], Sequence[Box]]], at: float) -> str:
    """Precision, recall and F1 where a box is right that overlaps one not yet taken by so much."""
    hits = 0
    for found, truth in pairs:
        left = list(truth)
        for box in found:
            best = max(left, key=lambda other: iou(box, other), default=None)
            if best is not None and iou(box, best) >= at:
                left.remove(best)
                hits += 1
    ours, theirs = (sum(len(pair[side]) for pair in pairs) for side in (0, 1))
    return (
        f"IoU {at}: precision {hits / max(ours, 1):.2f}, recall {hits / theirs:.2f}, "
        f"F1 {2 * hits / (ours + theirs):.2f} ({theirs} boxes)"
    )


def zone_accuracy(
    model: Model,
    seen: Sequence[tuple[Frame, PatchFeatures]],
    truth: Sequence[Sequence[Box]],
    strange: Sequence[tuple[Frame, PatchFeatures]],
) -> None:
    """Learns somebody / nobody in each zone from the first half, tells it in the second."""
    random, half = np.random.default_rng(0), len(seen) // 2
    assert model.patch_size is not None
    for count in (2, 3, 5, 8):
        right, unsure, noticed, promised = [], [], [], []
        for left, top, end, bottom in ZONES:
            zone = Box(left, top, end - left, bottom - top, "zone", 1.0)
            polygon = Polygon.of([(left, top), (end, top), (end, bottom), (left, bottom)])
            inside = [max((_inside(box, zone) for box in boxes), default=0.0) for boxes in truth]
            state = np.array([1 if share > 0.6 else 0 if share < 0.05 else -1 for share in inside])
            vectors = []
            for some in (seen, strange):
                frames, patches = zip(*some, strict=True)
                vectors.append(np.stack(examples_of(polygon, frames, patches, model.patch_size)))
            pools = [np.flatnonzero(state[:half] == one) for one in (0, 1)]
            if min(map(len, pools)) < count:
                continue
            for _ in range(20):
                given = {
                    name: list(vectors[0][random.choice(pool, count, replace=False)])
                    for name, pool in zip(("nobody", "somebody"), pools, strict=True)
                }
                made = learned("zone", polygon, given)
                told = [made.nearest(vector) for vector in vectors[0]]
                later = np.arange(len(seen)) >= half
                for number, name in enumerate(("nobody", "somebody")):
                    own = [told[row] for row in np.flatnonzero(later & (state == number))]
                    right.append(np.mean([one.state == name for one in own]))
                    unsure.append(np.mean([one.state == "unknown" for one in own]))
                noticed.append(np.mean([made.nearest(vector).state == "unknown" for vector in vectors[1]]))
                promised.append(made.accuracy)
        if right:
            print(
                f"zones, {count} examples per state: balanced accuracy {np.mean(right):.2f} "
                f"({np.mean(unsure):.2f} unknown), leave-one-out said {np.mean(promised):.2f}; "
                f"a van in it unknown {np.mean(noticed):.2f}"
            )


def _steady(took: Sequence[float]) -> float:
    """Milliseconds of a frame on average where one in so many is a sample."""
    usual = float(np.median(took))
    return usual + (max(took) - usual) * SAMPLES / (WINDOW_S * FPS)


def _inside(box: Box, zone: Box) -> float:
    width = min(box.x + box.w, zone.x + zone.w) - max(box.x, zone.x)
    height = min(box.y + box.h, zone.y + zone.h) - max(box.y, zone.y)
    return max(width, 0.0) * max(height, 0.0) / (box.w * box.h)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip")
    parser.add_argument("--size", default="448")
    parser.add_argument("--tokenizer", default="full")
    parser.add_argument("--target", type=float, help="of recall")
    args = parser.parse_args()
    tokenizer = args.tokenizer, {} if args.target is None else {"target": args.target}
    torch.set_num_threads(1)
    frames = clip_of(args.clip)
    plate = empty(frames)
    height, width = plate.shape[:2]
    model = load_model(size=args.size, fit="native")
    every = round(10 / FPS)
    began = time.perf_counter()
    seen = patches_of(model, tokenizer, ((n / 10, frames[n]) for n in range(0, len(frames), every)))
    print(
        f"{args.size} px, {args.tokenizer}, target {args.target}: grid {seen[0][1].shape[:2]}, "
        f"{1e3 * (time.perf_counter() - began) / len(seen):.0f} ms a frame in all"
    )
    found, took = boxes_of(model, seen)
    print(
        f"changed costs {np.median(took):.2f} ms a frame, {max(took):.2f} with a sample: "
        f"{_steady(took):.2f} on average once there is a minute, at {FPS:g} frames/s"
    )
    pairs = [
        (
            found[n // every],
            [Box(x / width, y / height, w / width, h / height, "", 1) for x, y, w, h in boxes],
        )
        for n, boxes in DRAWN.items()
    ]
    print("drawn by hand,", score(pairs, 0.3))
    people = cutouts(frames, plate)
    shown = list(pasted(plate, people, seed=1))
    truth = [boxes for _, _, boxes in shown]
    seen = patches_of(model, tokenizer, ((now, picture) for now, picture, _ in shown))
    found, _ = boxes_of(model, seen)
    pairs = [
        pair for pair, (now, _, _) in zip(zip(found, truth, strict=True), shown, strict=True) if now >= FROM_S
    ]
    for at in (0.3, 0.5):
        print(f"pasted ({len(people)} people),", score(pairs, at))
    x, y, w, h = VAN
    van = frames[300][y : y + h, x : x + w]
    some = [(now, picture) for now, picture, _ in pasted(plate, people, 2, van)][:8]
    zone_accuracy(model, seen, truth, patches_of(model, tokenizer, iter(some)))


if __name__ == "__main__":
    main()
