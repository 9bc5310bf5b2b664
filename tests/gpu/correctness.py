"""Design invariants 1 and 2 in half precision, and plans and steps that do not hold up the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import torch

from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Placed
from pipeline.models.refusal import parts_of
from pipeline.tokenizers import (
    AtsTokenizer,
    BlockStep,
    ClusterTokenizer,
    FullTokenizer,
    InterTokenizer,
    IntraTokenizer,
    MctfTokenizer,
    MergeTokenizer,
    PackedTokens,
    PitomeTokenizer,
    PruneTokenizer,
    RandomTokenizer,
    Tokenizer,
    TokenPlan,
    ZeroTPruneTokenizer,
)
from pipeline.tokenizers.registry import taken_with
from tests.gpu.report import Report
from tests.pipeline.models.families import FAMILIES, build, images_for
from vocab.patches import patchify
from vocab.words import Vocabulary

Clips = dict[str, list[npt.NDArray[np.uint8]]]

# Largest difference over largest output. bfloat16 has 8 bits: one rounding is up to 0.4 %, and different
# attention kernels round at different places, twice per block.
TOLERANCE = {torch.bfloat16: 3e-2, torch.float32: 1e-4}


def check_families(device: torch.device, report: Report) -> None:
    """Keep-all against plain timm, and a frame alone against the same frame among others."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    for family in FAMILIES:
        model = build(family).to(device, dtype)
        images = images_for(model).to(device, dtype)
        plain = model.forward_features(images).flatten(0, 1)
        encoder = PackedEncoder(model)
        full = FullTokenizer().plan(images, encoder.patch_size, encoder.prefix)
        ragged = TokenPlan(full.group, full.kept, full.prefix)
        apart = max(difference(encoder.encode(images, plan).tokens, plain) for plan in (full, ragged))
        report.check(
            apart <= TOLERANCE[dtype], f"{family}: keep-all differs from timm by {apart:.1e} ({dtype})"
        )
        for tokenizer in _tokenizers(images.float(), encoder.patch_size):
            if tokenizer.name not in taken_with(parts_of(model)):
                continue
            apart = _batch_mates(encoder, images, tokenizer)
            what = f"{family}, {tokenizer.name}: batch mates change a frame by {apart:.1e} ({dtype})"
            report.check(apart <= TOLERANCE[dtype], what)


def check_plan_does_not_wait(device: torch.device, clips: Clips, report: Report) -> None:
    """CUDA's sync debug mode raises when the host waits for the device."""
    if device.type != "cuda":
        report.skip("plan does not wait for the device", f"{device} has no sync debug mode")
        return
    frames = torch.from_numpy(np.stack(clips["bikes"][:8])).to(device)
    images = frames.permute(0, 3, 1, 2).float() / 127.5 - 1
    for tokenizer in _tokenizers(images, 16):
        found = waited(lambda tokenizer=tokenizer: tokenizer.plan(images, 16))
        report.check(
            found is None, f"{tokenizer.name}: plan does not wait for the device ({found or 'no sync'})"
        )
    model = build("vit").to(device, torch.bfloat16)
    pixels, encoder = images_for(model).to(device, torch.bfloat16), PackedEncoder(model)
    for tokenizer in (
        MergeTokenizer(6),
        PitomeTokenizer(0.1),
        MctfTokenizer(6),
        ClusterTokenizer(2),
        ZeroTPruneTokenizer(0.4),
        PruneTokenizer(0.4),
    ):
        plan = tokenizer.plan(pixels, encoder.patch_size, encoder.prefix)
        found = waited(lambda plan=plan: encoder.encode(pixels, plan))
        what = f"{tokenizer.name}: steps between blocks do not wait for the device ({found or 'no sync'})"
        report.check(found is None, what)
    model = build("dinov3").to(device, torch.bfloat16)
    pixels, encoder = images_for(model).to(device, torch.bfloat16), PackedEncoder(model)
    grids = [Placed.filling(some, encoder.patch_size) for some in (pixels, pixels[:, :, : 3 * 16])]
    plan = TokenPlan.join([IntraTokenizer(0.4).plan(some, 16, encoder.prefix) for some, _ in grids])
    found = waited(lambda: encoder.encode(grids, plan))
    report.check(found is None, f"frames of two grids do not wait for the device ({found or 'no sync'})")


def waited(work: Callable[[], object]) -> str | None:
    """What made the host wait for the device; None where nothing did."""
    work()  # the first call may load kernels
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    except RuntimeError as error:
        return str(error).splitlines()[0]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return None


@dataclass(eq=False)
class _Noted:
    """A step that notes what it decides, block by block."""

    step: BlockStep
    decided: dict[int, TokenPlan | None] = field(default_factory=dict)

    @property
    def wants_attention(self) -> bool:
        return self.step.wants_attention

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:
        self.decided[layer] = self.step(layer, layers, packed)
        return self.decided[layer]

    def flops(self, kept: int, heads: int, width: int) -> int:
        return self.step.flops(kept, heads, width)


@dataclass(eq=False)
class _Again(_Noted):
    """Decides for one image what was noted of it among others."""

    image: slice = field(default_factory=lambda: slice(None))

    def __call__(self, layer: int, layers: int, packed: PackedTokens) -> TokenPlan | None:  # noqa: ARG002
        plan = self.decided[layer]
        if plan is None:
            return None
        known = plan.kept_list()[self.image]
        return TokenPlan(plan.group[self.image], plan.kept[self.image], plan.prefix, known=known)


def _tokenizers(images: torch.Tensor, patch_size: int) -> tuple[Tokenizer, ...]:
    """All but those that make tokens themselves: what they decided among others brings its numbers along."""
    vocabulary = Vocabulary.learn(patchify(images, patch_size), 40)
    return (
        FullTokenizer(),
        IntraTokenizer(0.4),
        MergeTokenizer(6),
        PitomeTokenizer(0.1),
        AtsTokenizer(0.4),
        ZeroTPruneTokenizer(0.4),
        PruneTokenizer(0.4),
        RandomTokenizer(0.4),
        InterTokenizer(vocabulary, 0.02),
    )


def _batch_mates(encoder: PackedEncoder, images: torch.Tensor, tokenizer: Tokenizer) -> float:
    plan = tokenizer.plan(images, encoder.patch_size, encoder.prefix)
    noted = _Noted(plan.steps[0]) if plan.steps and plan.steps[0] is not None else None
    if noted is not None:
        plan = replace(plan, steps=(noted,) * len(images))
    together = encoder.encode(images, plan)
    parts = together.tokens.split(list(together.segments.lengths))
    apart = []
    for index, part in enumerate(parts):
        image = slice(index, index + 1)
        # The same plan, so that only the numbers are compared: rounding may move a patch over a threshold.
        steps = () if noted is None else (_Again(noted.step, noted.decided, image),)
        group, kept, counted = plan.group[image], plan.kept[image], plan.proportional[image]
        single = TokenPlan(group, kept, plan.prefix, steps=steps, proportional=counted)
        encoded = encoder.encode(images[image], single).tokens
        assert len(encoded) == len(part)
        apart.append(difference(encoded, part))
    return max(apart)


def difference(tokens: torch.Tensor, expected: torch.Tensor) -> float:
    expected = expected.float()
    return float((tokens.float() - expected).abs().max() / expected.abs().max())
