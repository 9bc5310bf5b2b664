"""Does a rolling window help? Tokens kept and fidelity over time, with words from three places.

Per clip, with the same number of words and threshold: (a) words learned once from another clip, (b) words
learned once from the clip's own first second, (c) rolling: those of (b), relearned by the keeper from the
window as it would while a camera runs, on drift or every two seconds. A fourth "clip" is all three in a row,
as a camera that is turned. Fidelity is the cosine of the CLS token to the full model's (real weights).

    python -m benchmarks.rolling
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from benchmarks.common import CLIPS, NEAR, sample_frames, write_results
from pipeline.defaults import DEFAULT_WORDS
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer
from pipeline.warmup import learn_words
from vocab.keeper import KeeperOptions, VocabularyKeeper
from vocab.lease import MemoryLease
from vocab.store import MemoryStore
from vocab.window import MemoryWindow, PatchSampler, WindowOptions
from vocab.words import Vocabulary

FPS = 10.0
FIRST_FRAMES = 10
OTHER = {"bikes": "bunny", "bunny": "carphone", "carphone": "bikes", "all in a row": "bunny"}
# The clips last seconds, not hours: everything is as fast as they are.
WINDOW = WindowOptions(frames_per_s=FPS, patches_per_frame=256, max_patches=20 * 256)


class Rolling:
    """The keeper beside a stream, driven by the stream's own clock."""

    def __init__(self, engine: Engine, first: Vocabulary) -> None:
        spec, patch_size = engine.model.input, engine.model.patch_size
        assert patch_size is not None
        self.now_s = 0.0
        self._store = MemoryStore(patch_size)
        self._window = MemoryWindow(WINDOW, patch_size)
        self._sampler = PatchSampler(WINDOW, patch_size)
        options = KeeperOptions(near=NEAR, words=DEFAULT_WORDS, relearn_after_s=2.0, rest_s=0.5)
        self._keeper = VocabularyKeeper(
            self._window,
            self._store,
            MemoryLease(),
            spec.normalisation,
            options,
            clock=lambda: self.now_s,
        )
        self._keeper.seed(first)
        self._keeper.step()

    def words(self) -> Vocabulary:
        """The current version."""
        version = self._store.current()
        assert version is not None
        return self._store.load(version)

    def see(self, image: np.ndarray[Any, np.dtype[np.uint8]], at_s: float) -> None:
        """Takes in a frame that has run; the keeper looks at the window twice a second."""
        patches = self._sampler.take(image, at_s)
        if patches is not None:
            self._window.add(patches)
        look = int(at_s * 2) != int(self.now_s * 2)
        self.now_s = at_s
        if look:
            self._keeper.step()


def run(
    engine: Engine, frame: Frame, tokenizer: FullTokenizer | InterTokenizer
) -> tuple[torch.Tensor, float]:
    """The CLS token (C,) and the share of tokens kept of one frame."""
    (output,) = engine.submit([frame], tokenizer).result().frames
    assert output.tokens_kept is not None
    assert output.tokens_full is not None
    return torch.tensor(output.prediction.embedding), output.tokens_kept / output.tokens_full


def compare(engine: Engine, frames: list[Frame], other: list[Frame]) -> dict[str, Any]:
    """One row of figures per second of the clip, and their means."""
    spec, patch_size = engine.model.input, engine.model.patch_size
    assert patch_size is not None
    foreign = learn_words([f.image for f in other], spec, patch_size, DEFAULT_WORDS)
    first = learn_words([f.image for f in frames[:FIRST_FRAMES]], spec, patch_size, DEFAULT_WORDS)
    rolling = Rolling(engine, first)
    curves: dict[str, list[tuple[float, float]]] = {"other clip": [], "own start": [], "rolling": []}
    versions = []
    for number, frame in enumerate(frames):
        at_s = number / FPS
        if number >= FIRST_FRAMES:
            full, _ = run(engine, frame, FullTokenizer())
            words = {"other clip": foreign, "own start": first, "rolling": rolling.words()}
            versions.append(words["rolling"].version)
            for name, vocabulary in words.items():
                cls, kept = run(engine, frame, InterTokenizer(vocabulary))
                curves[name].append((kept, float(cosine_similarity(cls, full, dim=0))))
        rolling.see(frame.image, at_s)
    second = int(FPS)
    rows: dict[str, Any] = {}
    for name, curve in curves.items():
        kept, cosine = np.array(curve).T
        rows[name] = {
            "kept_share": round(float(kept.mean()), 4),
            "cls_cosine": round(float(cosine.mean()), 4),
            "kept_share_per_second": [
                round(float(kept[i : i + second].mean()), 3) for i in range(0, len(kept), second)
            ],
            "cls_cosine_per_second": [
                round(float(cosine[i : i + second].mean()), 4) for i in range(0, len(cosine), second)
            ],
        }
    rows["rolling"]["versions"] = max(versions)
    return rows


def main() -> None:
    """Measures every clip and writes benchmarks/results/rolling.json."""
    engine = Engine(load_model(embedding=True))
    clips = {clip: sample_frames(clip, engine.model.input, fps=FPS) for clip in CLIPS}
    clips["all in a row"] = [frame for clip in CLIPS for frame in clips[clip]]
    figures = {}
    for clip, frames in clips.items():
        figures[clip] = compare(engine, frames, clips[OTHER[clip]])
        for name, row in figures[clip].items():
            print(
                f"{clip:13} {name:11} kept {row['kept_share']:.3f}  cosine {row['cls_cosine']:.4f}",
                flush=True,
            )
            print(f"{'':25} kept per second {row['kept_share_per_second']}", flush=True)
    print(f"written: {write_results('rolling', figures)}")


if __name__ == "__main__":
    main()
