"""timm's layers as OpenVINO operators, built from the modules' own weights.

Tracing a model takes OpenVINO seconds; this takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino.opset13 as ov
import torch
from openvino import Node
from timm.layers import GluMlp, LayerScale, Mlp, RmsNorm, SwiGLU
from torch import nn


class UnsupportedError(Exception):
    """A layer that has no form here; says which."""


def constant(values: torch.Tensor) -> Node:
    """Values as float32."""
    return ov.constant(values.detach().float().contiguous().numpy())


def ints(*values: int) -> Node:
    """A list of integers, such as a shape."""
    return ov.constant(np.array(values, np.int64))


def layer(module: nn.Module, x: Node) -> Node:
    """What a module makes of (B, T, C) tokens.

    Raises:
        UnsupportedError: a module of another class.
    """
    for kinds, build in _LAYERS:
        if isinstance(module, kinds):
            return build(module, x)
    raise UnsupportedError(type(module).__name__)


def linear(module: nn.Module, x: Node, bias: torch.Tensor | None = None) -> Node:
    """x @ weight.T + bias.

    Args:
        module: an `nn.Linear`.
        x: (..., inputs).
        bias: to use instead of the module's own.
    """
    if type(module) is not nn.Linear:
        raise UnsupportedError(type(module).__name__)
    product = ov.matmul(x, constant(module.weight), False, True)
    bias = module.bias if bias is None else bias
    return product if bias is None else ov.add(product, constant(bias))


def scaled(scale: torch.Tensor | None, x: Node) -> Node:
    """x times a vector over its channels, where there is one."""
    return x if scale is None else ov.multiply(x, constant(scale))


def _layer_norm(module: Any, x: Node) -> Node:
    normed = ov.mvn(x, ints(-1), True, module.eps, "inside_sqrt")
    normed = scaled(module.weight, normed)
    return normed if module.bias is None else ov.add(normed, constant(module.bias))


def _rms_norm(module: Any, x: Node) -> Node:
    square = ov.reduce_mean(ov.power(x, ov.constant(np.float32(2))), ints(-1), keep_dims=True)
    root = ov.sqrt(ov.add(square, ov.constant(np.float32(module.eps))))
    return scaled(module.weight, ov.multiply(x, ov.divide(ov.constant(np.float32(1)), root)))


def _mlp(module: Any, x: Node) -> Node:
    if type(module.fc1) is not nn.Linear:
        raise UnsupportedError("Mlp of convolutions")
    return linear(module.fc2, layer(module.norm, layer(module.act, linear(module.fc1, x))))


def _swiglu(module: Any, x: Node) -> Node:
    gated = ov.multiply(layer(module.act, linear(module.fc1_g, x)), linear(module.fc1_x, x))
    return linear(module.fc2, layer(module.norm, gated))


def _glu(module: Any, x: Node) -> Node:
    first, second = ov.split(linear(module.fc1, x), ov.constant(np.int64(-1)), 2).outputs()
    gate, value = (second, first) if module.gate_last else (first, second)
    return linear(module.fc2, layer(module.norm, ov.multiply(layer(module.act, gate), value)))


def _gelu(module: Any, x: Node) -> Node:
    return ov.gelu(x, "ERF" if module.approximate == "none" else "TANH")


def _convolution(module: Any, x: Node) -> Node:
    square = (nn.Conv2d, nn.ConvTranspose2d)
    plain = type(module) in square and module.groups == 1 and module.padding_mode == "zeros"
    if not plain or isinstance(module.padding, str):
        raise UnsupportedError(type(module).__name__)
    strides, pads, dilations = (list(sides) for sides in (module.stride, module.padding, module.dilation))
    if type(module) is nn.Conv2d:
        made = ov.convolution(x, constant(module.weight), strides, pads, pads, dilations)
    else:
        made = ov.convolution_backprop_data(
            x,
            constant(module.weight),
            strides,
            pads_begin=pads,
            pads_end=pads,
            dilations=dilations,
            output_padding=list(module.output_padding),
        )
    if module.bias is None:
        return made
    return ov.add(made, constant(module.bias[:, None, None]))


_LAYERS: tuple[tuple[Any, Callable[[Any, Node], Node]], ...] = (
    ((nn.Identity, nn.Dropout), lambda _, x: x),
    (nn.Linear, linear),
    (nn.LayerNorm, _layer_norm),
    (RmsNorm, _rms_norm),
    (LayerScale, lambda module, x: scaled(module.gamma, x)),
    (nn.GELU, _gelu),
    (nn.ReLU, lambda _, x: ov.relu(x)),
    (nn.SiLU, lambda _, x: ov.swish(x)),
    (Mlp, _mlp),
    (SwiGLU, _swiglu),
    (GluMlp, _glu),
    ((nn.Conv2d, nn.ConvTranspose2d), _convolution),
)
