"""Lets timm be imported where torchvision's compiled operators cannot be loaded.

torchvision's default wheel is built for CUDA. Beside a CPU-only torch its operators do not load, and then its
import fails with "operator torchvision::nms does not exist", although timm never calls them.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, FileFinder
from importlib.util import find_spec

import torch

# Operators that torchvision registers against at import without asking whether they exist.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# Declarations last as long as this object.
_declared: list[torch.library.Library] = []


@cache
def operators_loaded() -> bool:
    """Whether torchvision's compiled operators load in this process; False where it is not installed.

    Does what torchvision does at its own import, so the answer is the same; torchvision is not imported.
    """
    spec = find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        found = FileFinder(folder, (ExtensionFileLoader, EXTENSION_SUFFIXES)).find_spec("_C")
        if found is None or found.origin is None:
            continue
        try:
            torch.ops.load_library(found.origin)
        except OSError:
            return False
        return True
    return False


def allow_missing_operators() -> None:
    """Declares what torchvision's import needs when its compiled operators do not load.

    Call it before `import timm`. Does nothing where torchvision works, is already imported, or this was
    called before. A declared operator still fails when called: it has no kernel.
    """
    if _declared or "torchvision" in sys.modules or operators_loaded():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
