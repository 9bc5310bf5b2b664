"""A promise held by a real service, and checked on every frame afterwards.

    python -m benchmarks.live_guard [STREAM ...] [--minutes 30] [--target 0.98] [--tokenizer recall]

Three streams, or those of them that are named, at once through a real `vwt serve` (Ray, an embedded Redis,
the bundled model in float32), each a file that is looped at its own pace, late frames dropped, as a camera
gives them: a still camera (the first picture of carphone with a little noise), a moving clip (bikes), and a
hostile stream (every second a cut to another of the sample clips). Each is promised `--target` (a cosine that
19 of 20 answers reach).

Afterwards the frames that were answered are run in full in this process, and each result that was sent is
held against that of its own frame. Per stream:

- p5, missed: 5th percentile of the cosine of all results, and the share below the target; `steady_` after the
  first quarter of the time; `said` what the stream's own audits say of the share, with bounds;
- operations: mean share of those of `full`, audits apart; `audits` what these cost of `full`, and `checks`
  what all looks cost of what was spent;
- saved: what audits prove; guard: what it did at the end; full_share: results that ran in full.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from benchmarks.common import CLIPS, write_results
from pipeline.defaults import DEFAULT_MODEL
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.preprocess import Preprocessor
from pipeline.sources import SourceOptions, open_source, parse_source
from pipeline.tokenizers import FullTokenizer
from tests.survival.service import Service, Tail

RATE = 25
_CUTS = 24
# Grey levels of a camera's noise.
_NOISE = 2.0


class _Kept(Tail):
    """Keeps features as arrays: half an hour of them as lists would fill the memory."""

    def _take(self, event: str, data: dict[str, Any]) -> None:
        if event == "prediction":
            data["embedding"] = np.asarray(data["prediction"].pop("embedding"), np.float32)
        super()._take(event, data)


def pictures(clip: str) -> list[npt.NDArray[np.uint8]]:
    """The pictures of a sample clip, RGB."""
    with av.open(parse_source(f"sample:{clip}").location) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def written(path: Path, shown: list[npt.NDArray[np.uint8]]) -> Path:
    """A clip of 25 pictures a second, all of the size of the first."""
    height, width = (side // 2 * 2 for side in shown[0].shape[:2])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(width, height)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def clips(folder: Path) -> dict[str, Path]:
    """The three files."""
    noise, first = np.random.default_rng(0), pictures("carphone")[0]
    still = [
        np.clip(first + noise.normal(0, _NOISE, first.shape), 0, 255).astype(np.uint8) for _ in range(250)
    ]
    of = [pictures(clip) for clip in CLIPS]
    # Of every clip the next second each time, round and round.
    cuts = [
        [some[(turn // len(of) * RATE + n) % len(some)] for n in range(RATE)]
        for turn in range(_CUTS)
        for some in (of[turn % len(of)],)
    ]
    return {
        "still": written(folder / "still.mp4", still),
        "moving": written(folder / "moving.mp4", pictures("bikes")),
        "hostile": written(folder / "hostile.mp4", list(chain.from_iterable(cuts))),
    }


def shown(engine: Engine, path: Path) -> list[Frame]:
    """All frames of a file, as the service makes them."""
    preprocess = Preprocessor(engine.model.input)
    source = open_source(parse_source(str(path)), SourceOptions(), lambda _: None)
    frames = []
    for decoded in source.frames():
        image, geometry, _ = preprocess(decoded.picture, decoded.display)
        frames.append(Frame(decoded.times, image, geometry))
    source.close()
    return frames


def rows_of(results: list[dict[str, Any]], times: npt.NDArray[np.float64]) -> list[int]:
    """Which frame of the file each result is of: its clock goes on from round to round."""
    length_s = times[-1] + 1 / RATE
    rows = []
    for result in results:
        apart = np.abs(times - result["pts_s"] % length_s)
        apart = np.minimum(apart, length_s - apart)
        rows.append(int(apart.argmin()))
        assert apart[rows[-1]] < 0.25 / RATE, f"no frame is shown at {result['pts_s']} s"
    return rows


def cosines(engine: Engine, path: Path, results: list[dict[str, Any]]) -> npt.NDArray[np.float64]:
    """Of each result to what its own frame gives in full."""
    frames = shown(engine, path)
    rows = rows_of(results, np.asarray([frame.times.pts_s or 0.0 for frame in frames]))
    full = {}
    for row in track(sorted(set(rows)), f"{path.stem} in full", transient=True):
        (output,) = engine.submit([frames[row]], FullTokenizer()).result().frames
        full[row] = np.asarray(output.prediction.embedding, np.float64)
    given = [result["embedding"].astype(np.float64) for result in results]
    return np.asarray(
        [
            a @ full[row] / (np.linalg.norm(a) * np.linalg.norm(full[row]))
            for a, row in zip(given, rows, strict=True)
        ]
    )


def live(folder: Path, paths: dict[str, Path], asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the service gave: results, and the last status, by stream."""
    inference = {"embedding": True, "precision": "fp32", "runtime": "torch"}
    service = Service(folder, {"inference": inference})
    try:
        for name, path in paths.items():
            settings = {"tokenizer": asked.tokenizer, "guard": asked.target, "fps": asked.fps}
            service.add(path, name=name, loop=True, realtime=True, policy="drop-oldest", **settings)
        tails = {
            name: _Kept(f"http://127.0.0.1:{service.port}/v1/streams/{name}/results", "0") for name in paths
        }
        for tail in tails.values():
            tail.more(1, within_s=120)
        for _ in track(range(round(60 * asked.minutes)), "live", transient=True):
            time.sleep(1)
        found = {
            name: {"results": list(islice(tail.results, len(tail.results))), "status": service.status(name)}
            for name, tail in tails.items()
        }
        for tail in tails.values():
            tail.stop()
    finally:
        service.stop()
    return found


def _figures(found: dict[str, Any], cosine: npt.NDArray[np.float64], target: float) -> dict[str, Any]:
    results, status = found["results"], found["status"]
    steady = cosine[len(cosine) // 4 :]
    audits = [
        # An audit of a held answer runs all of the frame.
        share * cost / (1 - cost) if (cost := result["fidelity"]["cost"]) < 1 and share else 1.0
        for result in results
        if result["fidelity"] is not None
        for share in (result["share"],)
    ]
    late = sum(result["dropped"].get("late", 0) for result in results)
    known = status["fidelity"] or {}
    return {
        "results": len(results),
        "lost": round(late / (len(results) + late), 3),
        "p5": round(float(np.quantile(cosine, 0.05)), 4),
        "missed": round(float((cosine < target).mean()), 4),
        "steady_p5": round(float(np.quantile(steady, 0.05)), 4),
        "steady_missed": round(float((steady < target).mean()), 4),
        "said": known.get("missed"),
        "operations": round(float(np.mean([result["share"] for result in results])), 3),
        "audited": len(audits),
        "audits": round(sum(audits) / len(results), 4),
        "checks": known.get("cost"),
        "full_share": round(float(np.mean([result["share"] > 0.95 for result in results])), 3),
        "saved": status["saving"],
        "guard": status["guard"],
    }


def main() -> None:
    """Measures, prints, writes benchmarks/results/live_guard.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("streams", nargs="*", default=["still", "moving", "hostile"])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--target", type=float, default=0.98)
    parser.add_argument("--tokenizer", default="recall")
    parser.add_argument("--fps", type=float, default=5.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = {name: path for name, path in clips(folder).items() if name in asked.streams}
        load = os.getloadavg()[0]
        found = live(folder / "service", paths, asked)
        loaded = os.getloadavg()[0]
        engine = Engine(load_model(DEFAULT_MODEL, embedding=True, precision="fp32", runtime="torch"))
        streams = {
            stream: _figures(one, cosines(engine, paths[stream], one["results"]), asked.target)
            for stream, one in found.items()
        }
    said = {name: value for name, value in vars(asked).items() if name != "streams"}
    figures = {**said, "load_average": [round(load, 2), round(loaded, 2)], "streams": streams}
    Console().print_json(json.dumps(figures))
    write_results("live_guard", figures)


if __name__ == "__main__":
    main()
