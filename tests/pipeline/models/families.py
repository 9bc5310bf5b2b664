"""A small, untrained member of every family that tokenizes; shared with the GPU checks."""

from __future__ import annotations

import timm
import torch
from torch import nn

from pipeline.models.families import FAMILIES as REGISTRY

# What makes a member small, besides eight patches a side and few blocks.
_SMALL: dict[str, object] = {"embed_dim": 192, "num_heads": 3}
# And what else a family's example is built with here.
_OPTIONS: dict[str, dict[str, object]] = {
    "dinov2 with registers": {"num_classes": 7},
    # Upright, as it is made; and the larger ones share keys among heads in their middle blocks.
    "sapiens2": {"img_size": (128, 96), "num_kv_heads": (3, 1, 1)},
}
# Members in which something differs that could go wrong: timm name and options.
_VARIANTS: dict[str, tuple[str, dict[str, object]]] = {
    "vit, average pooling": ("vit_base_patch16_gap_224", {}),
    "dinov3 plus (SwiGLU)": ("vit_small_plus_patch16_dinov3", {}),
    "eva giant": ("eva_giant_patch14_224", {}),
    "eva02, separate projections": ("eva02_base_patch14_448", {}),
    "perception encoder, spatial": ("vit_pe_spatial_tiny_patch16_512", {}),
}
# timm name and options of each.
FAMILIES = {family.name: (family.example, _OPTIONS.get(family.name, {})) for family in REGISTRY} | _VARIANTS


def build(family: str, depth: int = 2) -> nn.Module:
    """The family's member with `depth` blocks and weights that make every part of it count."""
    name, options = _options(family, depth)
    with torch.device("meta"):
        patch_size = timm.create_model(name, depth=depth, **_SMALL, **options).patch_embed.patch_size[0]
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(
        name, depth=depth, **_SMALL, **{"img_size": 8 * patch_size, **options}
    )
    with torch.no_grad():
        # timm starts heads, biases and layer scales at or near zero: a fault there would not show.
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def dynamic(family: str) -> nn.Module:
    """The same member as timm builds it for pictures of any size."""
    name, options = _options(family, 2)
    same = build(family)
    size = same.patch_embed.img_size  # type: ignore[union-attr]
    model: nn.Module = timm.create_model(
        name, depth=2, **_SMALL, **{**options, "img_size": size, "dynamic_img_size": True}
    )
    model.load_state_dict(same.state_dict())
    return model.eval()


def _options(family: str, depth: int) -> tuple[str, dict[str, object]]:
    name, options = FAMILIES[family]
    if "num_kv_heads" in options:
        options = options | {"num_kv_heads": options["num_kv_heads"][:depth]}  # type: ignore[index]
    return name, options


def images_for(model: nn.Module, count: int = 3) -> torch.Tensor:
    """Smooth random images with flat areas, so that tokenizers find something to merge and to drop."""
    height, width = model.patch_embed.img_size  # type: ignore[union-attr,misc]
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images[:, :, : height // 3] = 0.4
    return images
