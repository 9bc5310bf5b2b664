"""A small, untrained member of every family that tokenizes; shared with the GPU checks."""

from __future__ import annotations

import timm
import torch
from torch import nn

# timm name and what makes it small: few patches (and blocks, see `build`), all else as the family has it.
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "vit": ("vit_tiny_patch16_224", {}),
    "vit, average pooling": ("vit_base_patch16_rpn_224", {"img_size": 96}),
    "deit": ("deit_tiny_distilled_patch16_224", {}),
    "deit3": ("deit3_small_patch16_224", {}),
    "dinov2": ("vit_small_patch14_dinov2", {"img_size": 112}),
    "dinov2 with registers": ("vit_small_patch14_reg4_dinov2", {"img_size": 112, "num_classes": 7}),
    "dinov3": ("vit_small_patch16_dinov3", {"img_size": 128}),
    "dinov3 plus (SwiGLU)": ("vit_small_plus_patch16_dinov3", {"img_size": 96}),
    "eva02": ("eva02_tiny_patch14_224", {}),
    "eva02, separate projections": ("eva02_base_patch14_448", {"img_size": 112}),
    "clip": ("vit_base_patch32_clip_224", {}),
    "siglip": ("vit_base_patch16_siglip_224", {"img_size": 96}),
}


def build(family: str, depth: int = 2) -> nn.Module:
    """The family's member with `depth` blocks and weights that make every part of it count."""
    name, small = FAMILIES[family]
    torch.manual_seed(0)
    model: nn.Module = timm.create_model(name, pretrained=False, depth=depth, **small)
    with torch.no_grad():
        # timm starts heads, biases and layer scales at or near zero: a fault there would not show.
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def images_for(model: nn.Module, count: int = 3) -> torch.Tensor:
    """Smooth random images with flat areas, so that tokenizers find something to merge and to drop."""
    height, width = model.patch_embed.img_size  # type: ignore[union-attr,misc]
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randn(count, 3, 6, 6, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    images[:, :, : height // 3] = 0.4
    return images
