"""Chooses the defaults of `inter`: how many words, and which threshold.

Words are learned from the first 64 sampled frames of each clip, as `vwt run` does; the frames after them
are judged against the full model (real weights, DINOv2 ViT-S/14): patch tokens kept, cosine of the CLS
token (mean and 5th percentile), mean absolute difference of the saliency map, and the change score: the
cosine between frame-to-frame differences of the CLS token and those of the full model. Two controls keep
the figures honest: repeating the last result on every second frame, and dropping patches at random.

    python -m benchmarks.defaults [--stride 2]
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from torch.nn.functional import cosine_similarity

from benchmarks.common import CLIPS, sample_frames, write_results
from pipeline.engine import Engine
from pipeline.frame import Frame
from pipeline.models import load_model
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer, TokenPlan
from pipeline.warmup import learn_words

WARMUP = 64
WORDS = (100, 300, 1000, 3000)
THRESHOLDS = (0.02, 0.05, 0.1, 0.2, 0.3)


class RandomDrop:
    """Control: drops patches at random."""

    name = "random"
    vocab_version = None

    def __init__(self, drop: float) -> None:
        self._drop = drop
        self._generator = torch.Generator().manual_seed(0)

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Keeps a random share of the patches, in raster order."""
        patches = (images.shape[2] // patch_size) * (images.shape[3] // patch_size)
        count = patches - int(patches * self._drop)
        kept = torch.rand(len(images), patches, generator=self._generator).topk(count).indices.sort().values
        group = torch.full((len(images), patches), -1)
        group.scatter_(1, kept, torch.arange(count).expand(len(images), -1))
        return TokenPlan(group, torch.full((len(images),), count), prefix, count)

    def flops(self, patches: int, patch_size: int) -> int:
        """Nothing to speak of."""
        return 0 * patches * patch_size


def run(engine: Engine, frames: list[Frame], tokenizer: Tokenizer) -> dict[str, torch.Tensor]:
    """CLS tokens (F, C), saliency maps (F, H, W) and kept tokens (F,) of all frames."""
    outputs = []
    for start in range(0, len(frames), 8):
        pending = engine.submit(frames[start : start + 8], tokenizer)
        kept = torch.tensor([float(frame.tokens_kept or 0) for frame in pending.result().frames])
        outputs.append((pending.outputs["embedding"], pending.outputs["saliency"], kept))
    cls, saliency, kept = (torch.cat(parts) for parts in zip(*outputs, strict=True))
    return {"cls": cls, "saliency": saliency, "kept": kept}


def judge(got: dict[str, torch.Tensor], full: dict[str, torch.Tensor]) -> dict[str, float]:
    """How near `got` is to the full model, and what it kept."""
    cosine = cosine_similarity(got["cls"], full["cls"], dim=1)
    moved = cosine_similarity(got["cls"].diff(dim=0), full["cls"].diff(dim=0), dim=1)
    return {
        "kept_share": round(float(got["kept"].mean() / full["kept"].mean()), 4),
        "cls_cosine": round(float(cosine.mean()), 4),
        "cls_cosine_p5": round(float(cosine.quantile(0.05)), 4),
        "change": round(float(moved.mean()), 3),
        "saliency_error": round(float((got["saliency"] - full["saliency"]).abs().mean()), 4),
    }


def frame_skip(full: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Control: every second frame repeats the result before it, and costs nothing."""
    last = torch.arange(len(full["cls"])) // 2 * 2
    kept = torch.where(torch.arange(len(last)) == last, full["kept"], 0)
    return {"cls": full["cls"][last], "saliency": full["saliency"][last], "kept": kept}


def measure(clip: str, stride: int) -> dict[str, Any]:
    """All settings on one clip."""
    model = load_model(embedding=True)
    engine = Engine(model)
    frames = sample_frames(clip, model.input)
    warmup, judged = frames[:WARMUP], frames[WARMUP::stride]
    full = run(engine, judged, FullTokenizer())
    rows: dict[str, Any] = {
        "frames judged": len(judged),
        "control: frame-skip 2": judge(frame_skip(full), full),
        "control: random drop 0.5": judge(run(engine, judged, RandomDrop(0.5)), full),
        "intra drop 0.25": judge(run(engine, judged, IntraTokenizer(0.25)), full),
        "intra drop 0.5": judge(run(engine, judged, IntraTokenizer(0.5)), full),
    }
    for words in WORDS:
        assert model.patch_size is not None
        vocabulary = learn_words([f.image for f in warmup], model.input, model.patch_size, words)
        for threshold in THRESHOLDS:
            got = run(engine, judged, InterTokenizer(vocabulary, threshold))
            rows[f"inter V={words} t={threshold}"] = judge(got, full)
            print(
                f"{clip:9} V={words:5} t={threshold:4}  {rows[f'inter V={words} t={threshold}']}", flush=True
            )
    return rows


def main() -> None:
    """Measures every clip and writes benchmarks/results/defaults.json."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stride", type=int, default=2, help="judge every n-th frame after the warm-up")
    stride = parser.parse_args().stride
    figures = {clip: measure(clip, stride) for clip in CLIPS}
    print(f"written: {write_results('defaults', figures)}")


if __name__ == "__main__":
    main()
