"""Linear maps with constant weights.

On x86 torch multiplies float32 matrices with MKL, which leaves AMD processors at half of their vector width.
oneDNN, which comes with torch as well, does not: on one core of an AMD EPYC (Zen 5) it is 2.3 times as fast
with the shapes of a ViT-S. It wants its weights packed beforehand, which is why they must be constant.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F


def linear_map(
    weight: torch.Tensor, bias: torch.Tensor | None = None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Makes x -> x @ weight.T + bias as fast as this machine can. It knows no gradients.

    Args:
        weight: (outputs, inputs); changing it later may or may not change the map.
        bias: (outputs,), or None.

    Returns:
        A function from (..., inputs) to (..., outputs), of the device and type of `weight`.
    """
    mkl, onednn = torch.backends.mkl.is_available(), torch.backends.mkldnn.is_available()
    if weight.device.type == "cpu" and weight.dtype == torch.float32 and mkl and onednn:
        return partial(_onednn, torch.ops.mkldnn._reorder_linear_weight(weight.detach()), bias)
    return partial(F.linear, weight=weight, bias=bias)


def _onednn(packed: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    mapped: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
    return mapped
