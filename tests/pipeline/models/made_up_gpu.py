"""A GPU that computes nothing: what would run on one is carried out as far as shapes, types and devices go.

Whoever asks it for a number, as `item` and `tolist` do, gets a DataDependentOutputException.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


class _Operators(TorchFunctionMode):
    """Has done by operators what wants a torch that is built for CUDA otherwise: indexing and `copy_`."""

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch.Tensor.copy_:
            return torch.ops.aten.copy_(*args)
        if function is not torch.Tensor.__getitem__:
            return function(*args, **(kwargs or {}))
        x, keys = args
        keys = keys if isinstance(keys, tuple) else (keys,)
        dim = 0
        for key in keys:
            if key is Ellipsis:
                dim = x.dim() - (len(keys) - 1)
            elif key is None:
                x, dim = x.unsqueeze(dim), dim + 1
            elif isinstance(key, int):
                x = x.select(dim, key)
            else:
                assert isinstance(key, slice)
                x, dim = torch.ops.aten.slice(x, dim, key.start, key.stop, key.step or 1), dim + 1
        return x


class Calls(TorchDispatchMode):
    """Notes what was called.

    Attributes:
        names: of the operators.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@contextmanager
def made_up_gpu() -> Iterator[None]:
    """Tensors made inside may be on "cuda"."""
    with FakeTensorMode(), _Operators(), torch.inference_mode():
        yield


def move(module: nn.Module, dtype: torch.dtype) -> None:
    """Puts a module on the made-up GPU, inside of which this is called."""
    for part in module.modules():
        for own in (part._parameters, part._buffers):
            for name, value in own.items():
                if value is not None:
                    there = torch.empty(value.shape, dtype=dtype, device="cuda")
                    own[name] = nn.Parameter(there, requires_grad=False) if own is part._parameters else there  # type: ignore[assignment]
