"""What the last layer of a timm model says: classes, with or without names, or a vector beside text."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import nn

from pipeline.models.timm_import import timm


def imagenet_labels(model: nn.Module) -> list[str] | None:
    """Names the classes of a timm model, or gives None where they are not known.

    Names in the model's own `pretrained_cfg` come first. Otherwise the number of classes tells the ImageNet
    subset (1k, 12k, 21k, 22k), as in timm.

    Args:
        model: a timm model; `num_classes` and `pretrained_cfg` are read.

    Returns:
        One name per class in index order, such as "tench, Tinca tinca".
    """
    count: Any = model.num_classes
    config: Any = model.pretrained_cfg
    own = config.get("label_names")
    if own and len(own) == count:
        descriptions = config.get("label_descriptions") or {}
        return [descriptions.get(name, name) for name in own]
    # The count alone: given a model without a classifier, timm would answer for its pretrained one.
    subset = _subset(count)
    return None if subset is None else list(timm.data.ImageNetInfo(subset).label_descriptions())


def projects(model: nn.Module) -> bool:
    """Whether the last layer of a timm model is a projection beside text, and `num_classes` its width.

    timm counts both as classes. A projection is as wide as one that timm publishes for that architecture;
    a model that names its classes, or has as many as a set of timm's tables, is a classifier.

    Args:
        model: a timm model; `num_classes` and `pretrained_cfg` are read.
    """
    count: Any = model.num_classes
    config: Any = model.pretrained_cfg
    return not config.get("label_names") and count in _projections(config.get("architecture") or "")


def predicts(name: str) -> str:
    """What a model of timm's list predicts with its published weights: "labels" or "embedding".

    Args:
        name: of an architecture, with a tag or without.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return "labels"
    classifies = config.num_classes and config.num_classes not in _projections(config.architecture)
    return "labels" if classifies else "embedding"


@cache
def _projections(architecture: str) -> frozenset[int]:
    """Widths of the projections that timm publishes for an architecture.

    Its names say what was trained beside text: CLIP and what goes by the name are called so in the
    architecture or in the tag, the perception encoder by its own name.
    """
    configs = [timm.get_pretrained_cfg(name) for name in timm.list_pretrained(f"{architecture}.*")]
    return frozenset(
        config.num_classes
        for config in configs
        if ("clip" in f"{architecture}.{config.tag}" or "_pe_core_" in architecture)
        and config.num_classes
        and _subset(config.num_classes) is None
    )


def _subset(classes: int) -> str | None:
    found: str | None = timm.data.infer_imagenet_subset({"num_classes": classes})
    return found
