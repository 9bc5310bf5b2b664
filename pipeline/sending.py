"""Small facts of the host that a device is to know."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def sent(values: Sequence[int], device: torch.device, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """(len(values),) on the device, without waiting for it."""
    tensor = torch.tensor(values, dtype=dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
