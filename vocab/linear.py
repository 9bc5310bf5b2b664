"""Linear maps with constant weights.

On x86 torch multiplies float32 matrices with MKL, which leaves AMD processors at half of their vector width.
oneDNN, which comes with torch as well, does not: on one core of an AMD EPYC (Zen 5) it is 2.3 times as fast
with the shapes of a ViT-S. It wants its weights packed beforehand, which is why they must be constant. In
bfloat16 torch uses it by itself, but packs the weights anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F

Activation = Literal["none", "gelu", "relu"]


def linear_map(
    weight: torch.Tensor, bias: torch.Tensor | None = None, activation: Activation = "none"
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Makes x -> activation(x @ weight.T + bias) as fast as this machine can. It knows no gradients.

    Args:
        weight: (outputs, inputs); changing it later may or may not change the map.
        bias: (outputs,), or None.
        activation: what follows; "gelu" is the exact one.

    Returns:
        A function from (..., inputs) to (..., outputs), of the device and type of `weight`.
    """
    if weight.device.type == "cpu" and _packs(weight.dtype):
        packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        return partial(_onednn, packed, bias, activation)
    plain = partial(F.linear, weight=weight, bias=bias)
    if activation == "none":
        return plain
    follows = F.gelu if activation == "gelu" else F.relu
    return lambda x: follows(plain(x))


def added(
    apply: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    """apply(x) + other, in one where that is possible; for what `linear_map` made without an activation."""
    if not isinstance(apply, partial) or apply.func is not _onednn:
        return apply(x) + other
    packed, bias, _ = apply.args
    summed: torch.Tensor = torch.ops.mkldnn._linear_pointwise.binary(x, other, packed, bias, "add")
    return summed


@contextmanager
def in_tf32(device: torch.device) -> Iterator[None]:
    """Lets an NVIDIA GPU round what it multiplies of float32 matrices to 11 bits; sums stay float32.

    The setting is of the process: what other threads
    multiply meanwhile may be rounded, too.
    """
    if device.type != "cuda":
        yield
        return
    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def _packs(dtype: torch.dtype) -> bool:
    if not torch.backends.mkldnn.is_available() or not torch.backends.mkl.is_available():
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def _onednn(
    packed: torch.Tensor, bias: torch.Tensor | None, activation: Activation, x: torch.Tensor
) -> torch.Tensor:
    algorithm = "none" if activation == "gelu" else ""
    mapped: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], algorithm)
    return mapped
