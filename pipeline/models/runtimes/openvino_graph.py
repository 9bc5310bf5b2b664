"""The blocks of a model and the norm behind them as one OpenVINO graph, for sequences of any length; and a
decoder behind them as another."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import openvino.opset13 as ov
import torch
from openvino import Model, Node, PartialShape, Type
from timm.models.eva import EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Block, ResPostBlock
from torch import nn

from pipeline.models.runtimes.base import Blocks
from pipeline.models.runtimes.openvino_layers import UnsupportedError, ints, layer, linear, scaled


def blocks_graph(blocks: Blocks) -> Model:
    """Builds the graph; the blocks stay as they are.

    Returns:
        Inputs `tokens` (B, T, C), `bias` (B, 1, 1, T), added to the scores of each key, and for rotary models
        `rope` (B, 1, T, 2*D); output (B, T, C).

    Raises:
        UnsupportedError: a layer has no form in OpenVINO here.
    """
    if blocks.between:
        raise UnsupportedError("what is added between the blocks")
    tokens = ov.parameter(PartialShape([-1, -1, blocks.width]), Type.f32, name="tokens")
    bias = ov.parameter(PartialShape([-1, 1, 1, -1]), Type.f32, name="bias")
    rope = None
    if blocks.rotary:
        rope = ov.parameter(PartialShape([-1, 1, -1, blocks.rotary]), Type.f32, name="rope")
    x: Node = tokens
    for block in blocks.layers:
        x = _block(block, x, bias, rope)
    inputs = [tokens, bias] if rope is None else [tokens, bias, rope]
    return Model([layer(blocks.norm, x)], inputs, "blocks")


def dense_graph(layers: nn.Sequential) -> Model:
    """Builds a decoder of grids, (B, C, rows, columns) of any size.

    Raises:
        UnsupportedError: a layer has no form in OpenVINO here.
    """
    grid = ov.parameter(PartialShape([-1, cast(Any, layers[0]).in_channels, -1, -1]), Type.f32, name="grid")
    x: Node = grid
    for module in layers:
        x = layer(module, x)
    return Model([x], [grid], "dense")


def _block(block: Any, x: Node, bias: Node, rope: Node | None) -> Node:
    kind = type(block)
    if kind is Block:
        x = ov.add(x, layer(block.ls1, _attention(block.attn.inner, layer(block.norm1, x), bias, rope)))
        return ov.add(x, layer(block.ls2, layer(block.mlp, layer(block.norm2, x))))
    if kind is EvaBlock:
        x = ov.add(x, scaled(block.gamma_1, _attention(block.attn.inner, layer(block.norm1, x), bias, rope)))
        return ov.add(x, scaled(block.gamma_2, layer(block.mlp, layer(block.norm2, x))))
    if kind in (ResPostBlock, EvaBlockPostNorm):
        x = ov.add(x, layer(block.norm1, _attention(block.attn.inner, x, bias, rope)))
        return ov.add(x, layer(block.norm2, layer(block.mlp, x)))
    raise UnsupportedError(kind.__name__)


def _attention(inner: Any, x: Node, bias: Node, rope: Node | None) -> Node:
    query, key, value = (_heads(part, inner.head_dim) for part in _project(inner, x))
    query, key = layer(inner.q_norm, query), layer(inner.k_norm, key)
    if rope is not None:
        half = getattr(inner, "rotate_half", False)
        query, key = _rotate(query, rope, half, inner.head_dim), _rotate(key, rope, half, inner.head_dim)
    groups = getattr(inner, "num_kv_groups", 1)
    if groups > 1:  # each key serves several heads
        key, value = _repeated(key, groups, inner.head_dim), _repeated(value, groups, inner.head_dim)
    mixed = ov.scaled_dot_product_attention(query, key, value, bias)
    mixed = ov.reshape(ov.transpose(mixed, ints(0, 2, 1, 3)), ints(0, 0, -1), True)
    mixed = layer(inner.norm, mixed)
    if getattr(inner, "gate", None) is not None:
        mixed = ov.multiply(mixed, ov.sigmoid(linear(inner.gate, x)))
    return linear(inner.proj, mixed)


def _project(inner: Any, x: Node) -> list[Any]:
    """(B, T, C) -> query, key and value, each (B, T, heads*D)."""
    if inner.qkv is None:
        return [linear(project, x) for project in (inner.q_proj, inner.k_proj, inner.v_proj)]
    bias = None
    if getattr(inner, "q_bias", None) is not None:
        bias = torch.cat([inner.q_bias, inner.k_bias, inner.v_bias])
    return list(ov.split(linear(inner.qkv, x, bias), ov.constant(np.int64(-1)), 3).outputs())


def _heads(x: Any, width: int) -> Node:
    """(B, T, heads*D) -> (B, heads, T, D)."""
    return ov.transpose(ov.reshape(x, ints(0, 0, -1, width), True), ints(0, 2, 1, 3))


def _rotate(x: Node, rope: Node, half: bool, width: int) -> Node:
    """Rotary embedding, as timm's `apply_rot_embed_cat` has it: sines first, then cosines."""
    sine, cosine = ov.split(rope, ov.constant(np.int64(-1)), 2).outputs()
    axis = ov.constant(np.int64(-1))
    if half:
        first, second = ov.split(x, axis, 2).outputs()
        turned = ov.concat([ov.negative(second), first], -1)
    else:
        pairs = ov.reshape(x, ints(0, 0, 0, width // 2, 2), True)
        first, second = ov.split(pairs, axis, 2).outputs()
        turned = ov.reshape(ov.concat([ov.negative(second), first], -1), ints(0, 0, 0, width), True)
    return ov.add(ov.multiply(x, cosine), ov.multiply(turned, sine))


def _repeated(x: Node, times: int, width: int) -> Node:
    """(B, H, T, D) -> (B, H*times, T, D), each head `times` times in a row."""
    copies = ov.concat([ov.unsqueeze(x, ints(2))] * times, 2)
    shape = ov.concat([ints(0, -1), ov.gather(ov.shape_of(x), ints(2), ints(0)), ints(width)], 0)
    return ov.reshape(copies, shape, True)
