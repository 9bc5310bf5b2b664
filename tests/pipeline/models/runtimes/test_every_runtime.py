"""Every runtime in every precision against float32 in torch, for every family."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import pipeline.models  # noqa: F401  (lets timm import beside any torchvision)
from pipeline.models.attention import Segments
from pipeline.models.context import AttentionContext
from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.runtimes.base import Blocks
from pipeline.runtimes import RUNTIMES, UnavailableError
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, MergeTokenizer, TokenPlan
from tests.pipeline.models.families import FAMILIES, build, images_for
from vocab.patches import patchify
from vocab.words import Vocabulary

# Largest difference of a normalised token from float32 in torch: relative to the largest of its image.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.02}
COMPUTED = [(kind, one) for kind in RUNTIMES.values() for one in kind.precisions if one in TOLERANCE]


def opened(model: torch.nn.Module, kind, precision: str) -> PackedEncoder:
    encoder = PackedEncoder(model)
    try:
        encoder.runtime = kind.open(Blocks.of(model).copy(), precision)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    return encoder


def plans(encoder: PackedEncoder, images: torch.Tensor) -> dict[str, TokenPlan]:
    vocabulary = Vocabulary.learn(patchify(images, encoder.patch_size).flatten(0, 1), 40)
    ragged = images.clone()
    ragged[1, :, :, : images.shape[3] // 2] = 0.4
    made = {
        "whole": (FullTokenizer(), images),
        "fewer": (IntraTokenizer(0.4), images),
        "ragged": (InterTokenizer(vocabulary, 0.02), ragged),
        "merged": (MergeTokenizer(6), images),
    }
    return {
        name: tokenizer.plan(pixels, encoder.patch_size, encoder.prefix)
        for name, (tokenizer, pixels) in made.items()
    }


def difference(features: Features, truth: Features) -> float:
    return float((features.tokens - truth.tokens).abs().max() / truth.tokens.abs().max())


@pytest.mark.parametrize(("kind", "precision"), COMPUTED, ids=lambda one: getattr(one, "name", one))
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_tokens_are_those_of_float32_in_torch(family, kind, precision):
    model = build(family)
    images = images_for(model)
    plain, encoder = PackedEncoder(model), opened(model, kind, precision)
    made = plans(plain, images)
    assert len(set(made["ragged"].kept_list())) > 1

    for name, plan in made.items():
        truth, features = plain.encode(images, plan), encoder.encode(images, plan)

        # Rounding may let a step merge another pair: then there are no tokens to compare, but a picture.
        if name == "merged" and precision != "fp32":
            cosine = F.cosine_similarity(plain.head(features), plain.head(truth), dim=-1)
            assert cosine.min() > 0.99, name
        else:
            assert difference(features, truth) < TOLERANCE[precision], name
        assert features.tokens.dtype == torch.float32
        assert features.trail.computed.precision == precision


@pytest.mark.parametrize(("kind", "precision"), COMPUTED, ids=lambda one: getattr(one, "name", one))
@torch.inference_mode()
def test_keys_count_by_the_size_of_their_tokens(kind, precision):
    model = build("dinov2 with registers")
    for block in model.blocks:  # Untrained attention hardly minds whom it looks at.
        block.attn.qkv.weight.mul_(4)
        block.attn.proj.weight.mul_(4)
    plain, encoder = PackedEncoder(model), opened(model, kind, precision)
    for lengths in ([67, 67, 67], [67, 20, 41]):
        tokens = torch.randn(sum(lengths), 192)
        segments = Segments.of(lengths, tokens.device)
        context = AttentionContext(segments, 8 * torch.randn(sum(lengths)))

        truth = plain.runtime.forward(tokens, context, None)
        unweighted = plain.runtime.forward(tokens, AttentionContext(segments), None)
        result = encoder.runtime.forward(tokens, context, None)

        largest = truth.abs().max()
        assert (result - truth).abs().max() / largest < TOLERANCE[precision]
        assert (unweighted - truth).abs().max() / largest > TOLERANCE["bf16"]


@torch.inference_mode()
def test_bfloat16_is_not_float32():
    """Guards the guards: with a precision that is not applied, they would pass."""
    model = build("vit")
    images = images_for(model)
    plain = PackedEncoder(model)
    plan = plans(plain, images)["whole"]
    truth = plain.encode(images, plan)
    for kind, precision in COMPUTED:
        if precision == "bf16":
            assert difference(opened(model, kind, precision).encode(images, plan), truth) > 1e-4, kind.name


@pytest.mark.parametrize(("kind", "precision"), COMPUTED, ids=lambda one: getattr(one, "name", one))
@torch.inference_mode()
def test_a_decoder_gives_on_any_grid_what_it_gives_in_float32_in_torch(kind, precision):
    encoder = opened(build(next(iter(FAMILIES))), kind, precision)
    torch.manual_seed(0)
    layers = nn.Sequential(nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 1, 1))
    grids = [torch.randn(1, 8, 5, 3), torch.randn(2, 8, 2, 4)]
    expected = [layers(grid) for grid in grids]

    decode = encoder.runtime.dense(copy.deepcopy(layers))

    for grid, truth in zip(grids, expected, strict=True):
        found = decode(grid)
        assert found.shape == truth.shape
        assert float((found - truth).abs().max() / truth.abs().max()) < TOLERANCE[precision]
