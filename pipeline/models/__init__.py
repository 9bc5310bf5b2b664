"""Models: what runs on the tokens, and what comes out. Each name loads on first use; so does timm."""

from typing import TYPE_CHECKING

from pipeline.models.torchvision_compat import allow_missing_operators
from vocab.first_use import on_first_use

if TYPE_CHECKING:
    from pipeline.models.base import Model
    from pipeline.models.catalog import BUNDLED, find_models, model_input, published
    from pipeline.models.detectors import DETECTORS
    from pipeline.models.families import FAMILIES
    from pipeline.models.loading import load_model, resolve_device
    from pipeline.models.packed import PackedModel
    from pipeline.models.plain import NullModel, PlainModel

allow_missing_operators()

__all__ = [
    "BUNDLED",
    "DETECTORS",
    "FAMILIES",
    "Model",
    "NullModel",
    "PackedModel",
    "PlainModel",
    "find_models",
    "load_model",
    "model_input",
    "published",
    "resolve_device",
]

_WHERE = {
    "Model": "base",
    "PackedModel": "packed",
    **dict.fromkeys(("NullModel", "PlainModel"), "plain"),
    **dict.fromkeys(("BUNDLED", "find_models", "model_input", "published"), "catalog"),
    **dict.fromkeys(("load_model", "resolve_device"), "loading"),
    "DETECTORS": "detectors",
    "FAMILIES": "families",
}

__getattr__ = on_first_use(__name__, _WHERE)
