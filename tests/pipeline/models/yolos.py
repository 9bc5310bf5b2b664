"""Detectors of transformers with random weights, as files."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import YolosConfig, YolosForObjectDetection

import pipeline.models  # noqa: F401  torchvision is not imported without what this makes up for
from pipeline.models.yolos import YOLOS, Variant

# Two blocks of two heads: all that could go wrong is in it.
SMALL = YOLOS["yolos_small"]._replace(width=128, depth=3, grid=(4, 6))
SMALL_WITHOUT = SMALL._replace(between=False)


def theirs(variant: Variant, seed: int = 0, tokens: int = 100, **settings: object) -> YolosForObjectDetection:
    """A variant as transformers has it; every part of it counts."""
    rows, columns = variant.grid
    config = YolosConfig(
        hidden_size=variant.width,
        num_hidden_layers=variant.depth,
        num_attention_heads=variant.width // 64,
        intermediate_size=4 * variant.width,
        image_size=[16 * rows, 16 * columns],
        use_mid_position_embeddings=variant.between,
        num_detection_tokens=tokens,
        **{"num_labels": 91, **settings},
    )
    torch.manual_seed(seed)
    model = YolosForObjectDetection(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            # Positions of the size of what they are added to: a fault in them is to show.
            scale = 0.5 if "position" in name or "token" in name else 0.05
            parameter.add_(scale * torch.randn_like(parameter))
    return model.eval()


def saved(model: YolosForObjectDetection, folder: Path) -> str:
    """The weights in a file as transformers writes it, with the config beside it."""
    model.save_pretrained(folder)
    return str(folder / "model.safetensors")
