"""The guard in replay: how soon a promise is held, how well, and at what share of the operations.

    python -m benchmarks.guard [CLIP ...] [--tokenizer merge] [--target 0.98] [--hours 1]

Every frame of the clips (the sample clips by default, at 5 frames/s) is run in full and at every value that
the tokenizer is tried at; between them errors are interpolated. Then hours of stream are replayed, the clips
over and over in turn, `--each` seconds of each, with the audits and the guard of the product, from the value
that saves most: an audited frame gives its error at the position where the guard stands. Reported, per clip
and for all of them spliced:

- audits_until: after how many audits the p5 of the 500 frames that follow is within .005 of the target, or
  above it;
- p5: 5th percentile of the cosine of all frames from then on, audited or not; worst_p5 the lowest of 500
  frames in a row;
- share: mean share of the operations of `full`, audits not counted, then with them;
- full: share of the frames that ran in full since the promise could not be held.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from benchmarks.common import CLIPS, sample_frames, write_results
from pipeline.engine import Engine
from pipeline.frame import Pixels
from pipeline.guard.alarm import Alarm
from pipeline.guard.audits import Draw
from pipeline.guard.guard import Guard
from pipeline.guard.knob import Knob
from pipeline.guard.promise import Promise
from pipeline.models import load_model
from pipeline.stacking import Check, Part
from pipeline.tokenizers import FullTokenizer
from pipeline.tokenizers.registry import kind_of
from pipeline.tokenizers.stream import StreamNeeds

_FPS, _AUDIT, _NEAR, _WINDOW = 5.0, 0.02, 0.005, 500


@dataclass(frozen=True, slots=True)
class Measured:
    """A clip at every whole position of a knob.

    Attributes:
        errors: (frames, positions) 1 - cosine.
        shares: (frames, positions) of the operations of full.
        images: of the frames.
    """

    errors: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    images: Sequence[Pixels]

    def at(self, frame: int, position: float) -> tuple[float, float]:
        """Error and share of a frame, interpolated."""
        row = frame % len(self.errors)
        places = np.arange(self.errors.shape[1])
        error, share = (np.interp(position, places, of[row]) for of in (self.errors, self.shares))
        return float(error), float(share)


def measure(engine: Engine, tokenizer: str, clip: str) -> Measured:
    """Runs a clip at every whole position."""
    kind = kind_of(tokenizer)
    knob = Knob(kind)
    frames = sample_frames(clip, engine.model.input, fps=_FPS)
    columns = [(np.zeros(len(frames)), np.ones(len(frames)))]
    for position in range(1, int(knob.most) + 1):
        stream = kind.open({knob.name: knob.value(position)}, StreamNeeds())
        found = []
        for frame in track(frames, f"{clip} at {knob.name} {knob.value(position):g}", transient=True):
            planned = Part([frame], stream.next([frame]), Check(0, FullTokenizer()))
            (output,) = engine.submit_parts([planned]).result().frames
            assert output.compared is not None
            found.append((1 - output.compared.cosine, output.share))
        errors, shares = np.array(found).T
        columns.append((errors, shares))
    errors, shares = (np.stack(rows, axis=1) for rows in zip(*columns, strict=True))
    return Measured(errors, shares, [frame.image for frame in frames])


def replay(knob: Knob, promise: Promise, clips: Sequence[Measured], frames: int, each: int) -> dict[str, Any]:
    """Hours of a stream; see the module."""
    guard, draw, alarm = Guard(knob, promise, knob.value(knob.most)), Draw(_AUDIT, seed=1), Alarm()
    errors, shares, fulls = np.zeros(frames), np.zeros(frames), np.zeros(frames)
    audited: list[int] = []
    for number in range(frames):
        clip = clips[number // each % len(clips)]
        position = knob.position(guard.value)
        error, share = clip.at(number, position)
        fulls[number] = guard.full
        errors[number], shares[number] = (0.0, 1.0) if guard.full else (error, share)
        rings = alarm.rings(clip.images[number % len(clip.images)]) and not guard.full
        drawn = draw.of(1) is not None
        if drawn or rings:
            audited.append(number)
            guard.hear(error, drawn)
    windows = [_p5(errors[frame : frame + _WINDOW]) for frame in audited if frame + _WINDOW <= frames]
    until = next((count for count, p5 in enumerate(windows) if p5 >= promise.target - _NEAR), None)
    if until is None:
        return {"audits_until": None, "reason": "the target was never held"}
    steady = audited[until]
    return {
        "audits_until": until,
        "p5": round(_p5(errors[steady:]), 4),
        "worst_p5": round(min(windows[until:]), 4),
        "share": round(float(shares[steady:].mean()), 3),
        "share_with_audits": round(float(shares[steady:].mean()) + len(audited) / frames, 3),
        "full": round(float(fulls[steady:].mean()), 3),
        "audits": len(audited),
    }


def _p5(errors: npt.NDArray[np.float64]) -> float:
    return 1 - float(np.quantile(errors, 0.95))


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "--tokenizer", {"default": "merge"}
    yield "--target", {"type": float, "default": 0.98}
    yield "--hours", {"type": float, "default": 1.0}
    yield "--each", {"type": float, "default": 300.0, "help": "seconds of each clip before the next"}


def main() -> None:
    """Measures, replays, prints, writes benchmarks/results/guard.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("clips", nargs="*", default=list(CLIPS))
    for name, settings in _settings():
        parser.add_argument(name, **settings)
    asked = parser.parse_args()
    engine = Engine(load_model(embedding_only=True))
    kind = kind_of(asked.tokenizer)
    knob, promise = Knob(kind), Promise(asked.target).check(kind)
    measured = {clip: measure(engine, asked.tokenizer, clip) for clip in asked.clips}
    frames, each = int(3600 * asked.hours * _FPS), int(asked.each * _FPS)
    replayed = {clip: replay(knob, promise, [one], frames, each) for clip, one in measured.items()}
    replayed["spliced"] = replay(knob, promise, list(measured.values()), frames, each)
    figures = {"tokenizer": asked.tokenizer, "target": asked.target, "hours": asked.hours, "clips": replayed}
    Console().print_json(json.dumps(figures))
    write_results("guard", figures)


if __name__ == "__main__":
    main()
