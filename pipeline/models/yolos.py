"""YOLOS: a plain Vision Transformer with 100 tokens more that answer with a box each (arXiv 2106.00666).

Weights are those of `YolosForObjectDetection` in the package transformers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from pipeline.defaults import HUB_PREFIX
from pipeline.errors import ModelError
from pipeline.input_spec import InputSpec
from pipeline.models.between import Between
from pipeline.models.coco import COCO_NAMES
from pipeline.models.detection import DetectionLayers, Detector, perceptron
from pipeline.models.detection_tokens import DetectionTokens
from pipeline.models.hugging_face import HubModel, open_hub_model
from pipeline.models.timm_import import timm
from pipeline.models.weights import mismatch

PATCH_SIZE = 16
_WIDTH_OF_A_HEAD = 64
_DETECTION_TOKENS = 100
_EPS = 1e-12


class Variant(NamedTuple):
    """One of the sizes that were published.

    Attributes:
        width: channels C of a token.
        grid: patches (rows, columns) that its positions were learned for.
        between: whether positions are added between its blocks, too.
        box: width and height in pixels that pictures are fitted into. The authors make the short side 512 or
            800 pixels; up to 16:9, and up to 1328:800 for the larger two, that is the same.
        hub: where its weights are published.
        depth: blocks.
    """

    width: int
    grid: tuple[int, int]
    between: bool
    box: tuple[int, int]
    hub: str
    depth: int = 12

    @property
    def input(self) -> InputSpec:
        """The whole picture in its own aspect."""
        width, height = self.box
        return InputSpec(width, height, crop_mode="native", interpolation="bilinear", patch_size=PATCH_SIZE)


YOLOS = {
    "yolos_tiny": Variant(192, (50, 83), False, (912, 512), "hustvl/yolos-tiny"),
    "yolos_small": Variant(384, (32, 54), True, (1328, 800), "hustvl/yolos-small"),
    "yolos_base": Variant(768, (50, 84), True, (1328, 800), "hustvl/yolos-base"),
}

# Names of transformers, and what they are called in `Network`.
_BLOCK = r"^vit\.encoder\.layer\.(\d+)\."
_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^vit\.embeddings\.cls_token$", "backbone.cls_token"),
        (r"^vit\.embeddings\.detection_tokens$", "backbone.reg_token"),
        (r"^vit\.embeddings\.position_embeddings$", "backbone.pos_embed"),
        (r"^vit\.embeddings\.patch_embeddings\.projection\.", "backbone.patch_embed.proj."),
        (_BLOCK + r"attention\.attention\.", r"backbone.blocks.\1.attn."),
        (_BLOCK + r"attention\.output\.dense\.", r"backbone.blocks.\1.attn.proj."),
        (_BLOCK + r"intermediate\.dense\.", r"backbone.blocks.\1.mlp.fc1."),
        (_BLOCK + r"output\.dense\.", r"backbone.blocks.\1.mlp.fc2."),
        (_BLOCK + r"layernorm_before\.", r"backbone.blocks.\1.norm1."),
        (_BLOCK + r"layernorm_after\.", r"backbone.blocks.\1.norm2."),
        (r"^vit\.layernorm\.", "backbone.norm."),
        (r"^vit\.encoder\.(interpolation\.)?mid_position_embeddings$", "between"),
        *((rf"^class_labels_classifier\.layers\.{one}\.", f"classify.{2 * one}.") for one in range(3)),
        *((rf"^bbox_predictor\.layers\.{one}\.", f"locate.{2 * one}.") for one in range(3)),
    )
]
_QUERY = re.compile(r"^(backbone\.blocks\.\d+\.attn\.)query\.(weight|bias)$")


def random_yolos(variant: Variant) -> Detector:
    """A variant without training."""
    network = Network(variant, variant.grid, _DETECTION_TOKENS, len(COCO_NAMES))
    for added in (network.backbone.reg_token, network.between):
        if added is not None:
            nn.init.trunc_normal_(added, std=0.02)
    return network.detector(COCO_NAMES)


def load_yolos(variant: Variant, weights: str | None) -> Detector:
    """A variant with weights.

    Args:
        variant: which.
        weights: as `open_hub_model` takes them; None for the published ones.

    Raises:
        ModelError: they cannot be had, or are of another model.
    """
    files = open_hub_model(weights or f"{HUB_PREFIX}{variant.hub}")
    state = _renamed(files.state)
    try:
        tokens, classes = state["backbone.reg_token"].shape[1], len(state["classify.4.bias"]) - 1
    except (KeyError, IndexError, TypeError):
        tokens = classes = 0
    if tokens < 1 or classes < 1:
        raise ModelError(
            f"the weights in {files.where} are of no YOLOS as Hugging Face has it; check --model"
        )
    for name in {"backbone.pos_embed", "between"} & state.keys():
        state[name] = _prefix_first(state[name], tokens)
    with torch.device("meta"):
        network = Network(variant, _grid(variant, files), tokens, classes)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {files.where} are of another model: {mismatch(network, state)}; check --model, "
            "and that its config.json lies beside them"
        ) from error
    return network.detector(files.names(classes) or _names(classes))


class Network(nn.Module):
    """All that has weights.

    Args:
        variant: which.
        grid: patches (rows, columns) that positions are learned for.
        tokens: detection tokens D.
        classes: things it knows.
    """

    between: nn.Parameter | None

    def __init__(self, variant: Variant, grid: tuple[int, int], tokens: int, classes: int) -> None:
        super().__init__()
        self._grid = grid
        self._prefix = 1 + tokens
        width = variant.width
        self.backbone = timm.models.VisionTransformer(
            img_size=(grid[0] * PATCH_SIZE, grid[1] * PATCH_SIZE),
            patch_size=PATCH_SIZE,
            num_classes=0,
            embed_dim=width,
            depth=variant.depth,
            num_heads=width // _WIDTH_OF_A_HEAD,
            reg_tokens=tokens,
            norm_layer=partial(timm.layers.LayerNorm, eps=_EPS),
        )
        self.classify, self.locate = perceptron(width, classes + 1), perceptron(width, 4)
        positions = torch.empty(variant.depth - 1, 1, self._prefix + grid[0] * grid[1], width)
        self.register_parameter("between", nn.Parameter(positions) if variant.between else None)

    def detector(self, names: Sequence[str]) -> Detector:
        """In eval mode."""
        self.eval().requires_grad_(False)
        between = None
        if self.between is not None:
            added = self.between[:, 0]
            patches = added[:, self._prefix :].unflatten(1, self._grid)
            between = Between(added[:, : self._prefix], patches)
        tokens = DetectionTokens(1, self._prefix - 1, self.backbone.embed_dim)
        return Detector(self.backbone, tokens, DetectionLayers(self.classify, self.locate), names, between)


def _renamed(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """By the names of `Network`, queries, keys and values in one."""
    ours = dict(state)
    for name in state:
        for pattern, other in _RENAMED:
            renamed, count = pattern.subn(other, name)
            if count:
                ours[renamed] = ours.pop(name)
                break
    for name in list(ours):
        found = _QUERY.match(name)
        parts = (
            [] if found is None else [f"{found[1]}{part}.{found[2]}" for part in ("query", "key", "value")]
        )
        held = [ours[part] for part in parts if part in ours and ours[part].ndim]
        if found is not None and len(held) == 3 and len({part.shape for part in held}) == 1:
            ours[f"{found[1]}qkv.{found[2]}"] = torch.cat([ours.pop(part) for part in parts])
    return ours


def _prefix_first(positions: torch.Tensor, tokens: int) -> torch.Tensor:
    """(..., 1+N+D, C) of class token, patches and detection tokens, the last before the patches."""
    if positions.ndim < 2 or positions.shape[-2] <= tokens:
        return positions  # of another model: that is found where they are loaded
    first, patches, last = positions.split([1, positions.shape[-2] - 1 - tokens, tokens], dim=-2)
    return torch.cat([first, last, patches], dim=-2)


def _grid(variant: Variant, files: HubModel) -> tuple[int, int]:
    """What positions were learned for, by the config; without one what those of the published ones were."""
    size = files.config.get("image_size")
    if size is None:
        return variant.grid
    try:
        rows, columns = (int(side) // PATCH_SIZE for side in size)
    except (TypeError, ValueError):
        rows = columns = 0
    if min(rows, columns) < 1:
        raise ModelError(
            f"the config beside {files.where} has an image_size of {size}: it is to be [height, width]"
        )
    return rows, columns


def _names(classes: int) -> Sequence[str]:
    return COCO_NAMES if classes == len(COCO_NAMES) else [f"class {index}" for index in range(classes)]
