"""Models by name: the bundled ones, and everything timm has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from pipeline.defaults import DEFAULT_MODEL
from pipeline.errors import ModelError
from pipeline.models.base import Model, NullModel, PackedModel, PlainModel
from pipeline.models.heads import EmbeddingHead, Head, LabelHead, SaliencyHead
from pipeline.models.refusal import no_prediction, refusal

RANDOM_WEIGHTS = "random"


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
        ModelError: unknown name, a model that predicts nothing, or weights that cannot be had.
    """
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    if name == "null":
        return NullModel(device)
    # timm takes as long to import as torch: the null model does without it.
    from pipeline.models.catalog import input_spec
    from pipeline.models.focus import FOCUS_INPUT, decoder_flops, load_focus
    from pipeline.models.labels import imagenet_labels

    if name == DEFAULT_MODEL:
        if weights is not None:
            raise ModelError(f"'{name}' brings its own weights; leave out --weights or name a timm model")
        backbone, decoder = load_focus()
        saliency = SaliencyHead(decoder.to(device, dtype), embedding)
        grid = cast(Any, backbone).patch_embed.grid_size[0]
        return PackedModel(name, backbone.to(device, dtype), saliency, FOCUS_INPUT, decoder_flops(grid))
    module = _create(name, weights).eval().requires_grad_(False).to(device, dtype)
    reason = no_prediction(module)
    if reason is not None:
        raise ModelError(f"cannot run model '{name}': {reason}; name a classifier or a feature model")
    names = imagenet_labels(module) if module.num_classes else None
    if refusal(module) is not None:
        return PlainModel(name, module, names, input_spec(module), embedding)
    head: Head = LabelHead(names, embedding) if module.num_classes else EmbeddingHead()
    return PackedModel(name, module, head, input_spec(module))


def _create(name: str, weights: str | None) -> nn.Module:
    from pipeline.models.timm_import import timm
    from pipeline.models.weights import check_name, create_from_file, create_from_hub

    check_name(name)
    if weights == RANDOM_WEIGHTS:
        torch.manual_seed(0)
        return timm.create_model(name)
    return create_from_hub(name) if weights is None else create_from_file(name, Path(weights))
