"""timm, imported in half the time: `from pipeline.models.timm_import import timm`.

timm and torchvision each import torch's compiler for one name, to mark or ask what only compiled code needs;
that import takes longer than all else they do. Here it waits until somebody compiles.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from pipeline.models.torchvision_compat import allow_missing_operators

_COMPILER = "torch._dynamo"
_UTILS = f"{_COMPILER}.utils"


class _Later(ModuleType):
    """Stands for a module of the compiler; asked for anything it was not given, it fetches the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _step_aside()
        return getattr(import_module(self.__name__), name)


@contextmanager
def compiler_later() -> Iterator[None]:
    """Within the block, what imports torch's compiler only to ask `_disable` or `_is_compile_supported` of it
    imports nothing. Does nothing where the compiler is imported already."""
    if _COMPILER in sys.modules:
        yield
        return
    compiler, utils = _Later(_COMPILER), _Later(_UTILS)
    # With a path it counts as a package, which `utils` is a module of.
    compiler.__dict__.update(disable=_disable, utils=utils, __path__=[])
    utils.__dict__["is_compile_supported"] = _is_compile_supported
    sys.modules.update({_COMPILER: compiler, _UTILS: utils})
    try:
        yield
    finally:
        _step_aside()


def _step_aside() -> None:
    for name in (_COMPILER, _UTILS):
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]


def _disable(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
    """What `torch.compiler.disable` makes of a function as long as nobody compiles: itself."""
    return (lambda later: later) if function is None else function


def _is_compile_supported(device: str) -> bool:
    return bool(import_module(_UTILS).is_compile_supported(device))


allow_missing_operators()
with compiler_later():
    import timm
    import timm.data

__all__ = ["timm"]
