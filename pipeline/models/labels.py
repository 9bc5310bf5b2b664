"""Class names of a timm classifier: its own, or those of the ImageNet tables that ship in timm."""

from __future__ import annotations

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
    subset = timm.data.infer_imagenet_subset({"num_classes": count})
    return None if subset is None else list(timm.data.ImageNetInfo(subset).label_descriptions())
