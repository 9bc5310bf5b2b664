"""The families of timm models that drop and merge tokens, one line each.

A model drops and merges tokens when it is built of the very classes of a line, whatever its name (`refusal`
sees to that). Inheriting from them is not enough: a subclass may do anything with its tokens.
"""

from __future__ import annotations

from typing import NamedTuple

from pipeline.tokenizers.registry import Part


class Classes(NamedTuple):
    """What a model is built of, each by the dotted path of its class.

    Attributes:
        model: the whole.
        block: every one of its blocks.
        attention: of the blocks; one that `PackedAttention` knows how to run.
    """

    model: str
    block: str
    attention: str


class Family(NamedTuple):
    """Models of one origin.

    Attributes:
        name: what people call them.
        example: a small one, by its timm name.
        classes: what they are built of.
        parts: what the example has that tokenizers may need; others of the family may have more or less.
    """

    name: str
    example: str
    classes: Classes
    parts: tuple[Part, ...] = ("plain patches", "a class token")


_VIT = Classes(
    "timm.models.vision_transformer.VisionTransformer",
    "timm.models.vision_transformer.Block",
    "timm.layers.attention.Attention",
)
_VIT_POST_NORM = _VIT._replace(block="timm.models.vision_transformer.ResPostBlock")
_DEIT = _VIT._replace(model="timm.models.deit.VisionTransformerDistilled")
_EVA = Classes("timm.models.eva.Eva", "timm.models.eva.EvaBlock", "timm.models.eva.EvaAttention")
_EVA_POST_NORM = _EVA._replace(block="timm.models.eva.EvaBlockPostNorm")
_EVA_ROPE = _EVA._replace(attention="timm.layers.attention.AttentionRope")

FAMILIES = (
    Family("vit", "vit_small_patch16_224", _VIT),
    Family("vit with post-norm", "vit_base_patch16_rpn_224", _VIT_POST_NORM, ("plain patches",)),
    Family("vit with rotary positions", "vit_small_patch16_rope_224", _EVA_ROPE),
    Family("deit", "deit_small_distilled_patch16_224", _DEIT),
    Family("deit3", "deit3_small_patch16_224", _VIT),
    Family("beit3", "beit3_base_patch16_224", _VIT),
    Family("flexivit", "flexivit_small", _VIT),
    Family("dinov2", "vit_small_patch14_dinov2", _VIT),
    Family("dinov2 with registers", "vit_small_patch14_reg4_dinov2", _VIT),
    Family("dinov3", "vit_small_patch16_dinov3", _EVA),
    Family("eva", "eva_large_patch14_196", _VIT),
    Family("eva02", "eva02_tiny_patch14_224", _EVA),
    Family("eva02 with post-norm", "eva02_enormous_patch14_clip_224", _EVA_POST_NORM),
    Family("aimv2", "aimv2_large_patch14_224", _VIT, ("plain patches",)),
    Family("radio", "vit_base_patch16_radio_v3", _VIT),
    Family("sapiens2", "vit_base_patch16_sapiens2", _EVA_ROPE),
    Family("clip image tower", "vit_base_patch16_clip_224", _VIT),
    Family("siglip image tower", "vit_base_patch16_siglip_224", _VIT, ("plain patches",)),
    Family("tipsv2 image tower", "vit_base_patch14_reg1_tipsv2", _VIT),
    Family("perception encoder", "vit_pe_core_tiny_patch16_384", _EVA_ROPE),
)
