"""The engine as it is used: results, heads, unequal lengths, words that change under load, no waiting."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from pipeline.engine import Engine, PendingBatch
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.input_spec import InputSpec
from pipeline.models import load_model
from pipeline.models.attention import Segments, ragged_attention
from pipeline.models.focus import FOCUS_INPUT, SaliencyDecoder, decoder_flops
from pipeline.models.heads import SaliencyHead
from pipeline.models.packed import PackedModel
from pipeline.reading import FrameOutput
from pipeline.runtimes import AUTO
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, Tokenizer
from pipeline.tokenizers.recall import RecallTokenizer
from pipeline.warmup import learn_words
from tests.gpu.correctness import Clips, waited
from tests.gpu.report import Report
from tests.pipeline.models.families import build
from vocab.words import Vocabulary

_GEOMETRY = Geometry(224, 224, 224, 224, 1, 1, 0, 0)
_MODEL = "vit_tiny_patch16_224"
# A classifier of random weights says nearly the same of every frame, and rounds it in bfloat16.
_ALIKE = 0.99
_FRAMES = 8
_CLOCKS_S = 1e-3


def frames_of(images: Sequence[np.ndarray]) -> list[Frame]:
    """Frames of an input's size, without times."""
    return [Frame(FrameTimes(pts_s=None), image, _GEOMETRY) for image in images]


def check_engine(device: torch.device, clips: Clips, report: Report) -> None:
    """All that runs through an engine, against the same on the CPU."""
    frames = frames_of(clips["bikes"][:_FRAMES])
    engines = [
        Engine(load_model(_MODEL, weights="random", device=one, embedding=True)) for one in (device, "cpu")
    ]
    spec, patch_size = engines[0].model.input, 16
    on_device, on_cpu = (
        learn_words(clips["bikes"][:_FRAMES], spec, patch_size, 100).to(one) for one in (device, "cpu")
    )
    pairs: list[tuple[str, Tokenizer, Tokenizer]] = [
        ("full", FullTokenizer(), FullTokenizer()),
        ("intra", IntraTokenizer(0.4), IntraTokenizer(0.4)),
        ("inter", InterTokenizer(on_device, 0.05), InterTokenizer(on_cpu, 0.05)),
    ]
    for name, there, here in pairs:
        compare(name, engines[0].submit(frames, there), engines[1].submit(frames, here), report)
    compare(
        "recall",
        engines[0].submit(frames, RecallTokenizer(0.98)),
        engines[1].submit(frames, RecallTokenizer(0.98)),
        report,
        same_tokens=False,
    )
    before_s = time.monotonic()
    ran = engines[0].submit(frames, FullTokenizer()).result()
    report.check(
        before_s - _CLOCKS_S <= ran.start_s and ran.end_s <= time.monotonic() + _CLOCKS_S,
        "a batch is told to have run while it did, by the host's clock",
    )
    parts = [Part(frames[n : n + 2], pairs[n // 2 % 3][1]) for n in range(0, _FRAMES, 2)]
    engines[0].submit_parts(parts).result()
    if device.type == "cuda":
        found = waited(lambda: engines[0].submit_parts(parts))
        report.check(found is None, f"a whole batch does not wait for the device ({found or 'no sync'})")
        engines[0].submit_parts(parts).result()
    else:
        report.skip("a whole batch does not wait for the device", f"{device} has no sync debug mode")


def check_saliency(device: torch.device, clips: Clips, report: Report) -> None:
    """The decoder of the bundled model, of random weights, through an engine; regions read from its maps."""
    torch.manual_seed(0)
    decoder = SaliencyDecoder().eval()
    decoder.fold()
    maps = []
    for one in (device, torch.device("cpu")):
        backbone = _dinov2(FOCUS_INPUT).to(one, torch.bfloat16 if one.type == "cuda" else torch.float32)
        model = PackedModel("decoder", backbone, SaliencyHead(decoder.to(one)), FOCUS_INPUT, decoder_flops)
        pending = Engine(model).submit(frames_of(clips["bunny"][:_FRAMES]), FullTokenizer())
        outputs = pending.result().frames
        report.check(len(outputs) == _FRAMES, f"the saliency decoder answers for {_FRAMES} frames on {one}")
        maps.append(pending.outputs["saliency"].float())
        decoder = decoder.float()
    apart = float((maps[0] - maps[1]).abs().max())
    report.check(apart < 0.05, f"saliency differs by {apart:.1e} from the CPU's")


def _dinov2(spec: InputSpec) -> torch.nn.Module:
    from pipeline.models.timm_import import timm

    torch.manual_seed(0)
    model: torch.nn.Module = timm.create_model(
        "vit_small_patch14_dinov2", img_size=spec.height, num_classes=0, depth=2
    )
    return model.eval().requires_grad_(False)


def check_lengths(device: torch.device, report: Report) -> None:
    """Sequences of unequal lengths side by side, with and without weights, against each of them alone."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    lengths = [197, 5, 64, 1, 130]
    generator = torch.Generator().manual_seed(0)
    tensors = [torch.randn(sum(lengths), 3, 64, generator=generator) for _ in range(3)]
    bias = torch.randint(1, 9, (sum(lengths),), generator=generator).float().log()
    for weighed in (None, bias):
        segments = Segments.of(lengths, device)
        there = None if weighed is None else weighed.to(device)
        query, key, value = (tensor.to(device, dtype) for tensor in tensors)
        together = ragged_attention(query, key, value, segments, segments, there).float().cpu()
        cpu = Segments.of(lengths, torch.device("cpu"))
        expected = ragged_attention(*tensors, cpu, cpu, weighed)
        apart = float((together - expected).abs().max() / expected.abs().max())
        what = "weighed " if weighed is not None else ""
        report.check(
            apart < 3e-2, f"{what}attention of lengths {lengths} differs by {apart:.1e} from the CPU's"
        )


def check_swap(device: torch.device, clips: Clips, report: Report, runtime: str = AUTO) -> None:
    """Words are learned in another thread and taken into use while batches run; each batch has its own."""
    engine = Engine(load_model(_MODEL, weights="random", device=device, runtime=runtime))
    images, spec = clips["carphone"], engine.model.input
    frames = frames_of(images[:_FRAMES])
    tokenizers: list[InterTokenizer] = []
    kept: dict[int, list[int | None]] = {}
    flying: deque[tuple[InterTokenizer, PendingBatch]] = deque()

    def make(version: int) -> Vocabulary:
        with torch.inference_mode():
            return learn_words(
                images[version::4][:4], spec, 16, 64, seed=version, version=version, device=device
            )

    def collect() -> bool:
        tokenizer, pending = flying.popleft()
        outputs = pending.result().frames
        own = kept.setdefault(tokenizer.vocabulary.version, [output.tokens_kept for output in outputs])
        return own == [output.tokens_kept for output in outputs] and all(
            output.vocab_version == tokenizer.vocabulary.version for output in outputs
        )

    right = True
    with ThreadPoolExecutor(1) as pool:
        for version in range(4):
            learning = pool.submit(make, version)
            while not learning.done() or len(tokenizers) <= version:
                if learning.done():
                    tokenizers.append(InterTokenizer(learning.result(), 0.05))
                for tokenizer in tokenizers[-2:]:
                    flying.append((tokenizer, engine.submit(frames, tokenizer)))
                    if len(flying) >= engine.depth:
                        right &= collect()
        while flying:
            right &= collect()
    # Alone, on words that are long made.
    for tokenizer in tokenizers:
        outputs = engine.submit(frames, tokenizer).result().frames
        right &= kept.get(tokenizer.vocabulary.version) == [output.tokens_kept for output in outputs]
    what = (
        f"{len(tokenizers)} vocabularies taken into use under load plan as they do alone (runtime {runtime})"
    )
    report.check(right, what)


def check_heads(device: torch.device, report: Report) -> None:
    """Class scores, average pooling and attention pooling of packed tokens, against timm's own."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for family in ("vit", "vit, average pooling", "siglip image tower", "dinov3", "perception encoder"):
        model = build(family).to(device, dtype)
        packed = PackedModel(family, model, SaliencyHead(SaliencyDecoder()), FOCUS_INPUT).encoder
        generator = torch.Generator().manual_seed(0)
        side = 8 * packed.patch_size
        images = torch.randn(3, 3, side, side, generator=generator).to(device, dtype)
        expected = model.forward_head(model.forward_features(images)).float()
        plan = FullTokenizer().plan(images, packed.patch_size, packed.prefix)
        found = packed.head(packed.encode(images, plan)).float()
        apart = float((found - expected).abs().max() / expected.abs().max())
        report.check(
            apart <= (3e-2 if dtype == torch.bfloat16 else 1e-4), f"{family}: its head differs by {apart:.1e}"
        )


def compare(
    name: str, there: PendingBatch, here: PendingBatch, report: Report, same_tokens: bool = True
) -> None:
    """A batch against the same on another device, or in another runtime."""
    ran, expected = there.result(), here.result()
    pairs = list(zip(ran.frames, expected.frames, strict=True))
    least = min(_cosine(one, other) for one, other in pairs)
    report.check(least > _ALIKE, f"{name}: embeddings have a cosine of {least:.4f} or more to the other's")
    report.check(ran.start_s < ran.end_s, f"{name}: its batch took {1000 * (ran.end_s - ran.start_s):.1f} ms")
    if same_tokens:
        off = sum(abs((one.tokens_kept or 0) - (other.tokens_kept or 0)) for one, other in pairs)
        full = sum(other.tokens_full or 0 for _, other in pairs)
        # Rounding may move a patch over a threshold.
        report.check(off <= 0.01 * full, f"{name}: keeps as many tokens as the other, up to {off} of {full}")


def _cosine(one: FrameOutput, other: FrameOutput) -> float:
    first, second = (np.asarray(output.prediction.embedding) for output in (one, other))
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
