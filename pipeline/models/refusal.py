"""Says before anything runs why a model cannot run, or cannot drop and merge tokens."""

from __future__ import annotations

from typing import Any, cast

from torch import nn

from pipeline.models.adapters import PackedAttention
from pipeline.models.families import FAMILIES, Classes
from pipeline.tokenizers.registry import Part

_PATCHES = "timm.layers.patch_embed.PatchEmbed"
_POOLING = "timm.layers.attention_pool.AttentionPoolLatent"
_KNOWN = {family.classes for family in FAMILIES}


def refusal(model: nn.Module) -> str | None:
    """Why a model cannot drop or merge tokens; None where it can.

    Args:
        model: a timm model, its attention wrapped by `adapters.adapt` or not; it may be on the meta device.
    """
    return _unknown_class(model) or _unfit_patches(model) or _unfit_positions(model) or _unfit_pooling(model)


def parts_of(model: nn.Module) -> tuple[Part, ...]:
    """What a model for which `refusal` has no objection has that tokenizers may need."""
    # Prefix tokens may be registers alone: what those attend to says nothing.
    has_class_token = cast(Any, model).cls_token is not None
    return ("plain patches", "a class token") if has_class_token else ("plain patches",)


def no_prediction(model: nn.Module) -> str | None:
    """Why nothing can be predicted with a timm model, not even in full; None where something can."""
    # timm's own mark: encoders for other models have no head, and raise when asked for one.
    if not hasattr(model, "reset_classifier"):
        return f"{type(model).__name__} encodes for another model and has no features of a whole picture"
    return None


def _unknown_class(model: nn.Module) -> str | None:
    whole = _path(model)
    if all(known.model != whole for known in _KNOWN):
        return f"{type(model).__name__} is not a plain Vision Transformer"
    for block in cast(Any, model).blocks:
        attention = getattr(block, "attn", None)
        if isinstance(attention, PackedAttention):
            attention = attention.inner
        if Classes(whole, _path(block), _path(attention)) in _KNOWN:
            continue
        if all(known.block != _path(block) for known in _KNOWN):
            return f"its blocks ({type(block).__name__}) have no packed form"
        return f"its attention ({type(attention).__name__}) has no packed form"
    return None


def _unfit_patches(model: nn.Module) -> str | None:
    patches = cast(Any, model).patch_embed
    # Hybrids have a network in front: their tokens are not of patches that a tokenizer could compare.
    if _path(patches) != _PATCHES:
        return f"its tokens are made by {type(patches).__name__}, not each of one patch of pixels"
    height, width = patches.img_size
    side = patches.patch_size[0]
    if [count * side for count in patches.grid_size] != [height, width]:
        return f"square patches of {side} pixels do not fill its input of {width}x{height}"
    return None


def _unfit_positions(model: nn.Module) -> str | None:
    if getattr(model, "rope_mixed", False):
        return "its rotary embedding differs from layer to layer"
    return None


def _unfit_pooling(model: nn.Module) -> str | None:
    parts = cast(Any, model)
    pool = parts.attn_pool
    if pool is None:
        known = parts.global_pool in ("token", "avg", "")
        return None if known else f"its pooling ({parts.global_pool}) has no packed form"
    if _path(pool) != _POOLING or pool.pos_embed is not None:
        return f"its pooling ({type(pool).__name__}) has no packed form"
    return None


def _path(part: object) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"
