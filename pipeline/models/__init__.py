"""Models: what runs on the tokens, and what comes out. timm is imported by what first needs it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.models.base import Model, NullModel, PackedModel, PlainModel
from pipeline.models.families import FAMILIES
from pipeline.models.loading import RANDOM_WEIGHTS, load_model, resolve_device
from pipeline.models.torchvision_compat import allow_missing_operators

if TYPE_CHECKING:
    from pipeline.models.catalog import BUNDLED, find_models, model_input

allow_missing_operators()

__all__ = [
    "BUNDLED",
    "FAMILIES",
    "RANDOM_WEIGHTS",
    "Model",
    "NullModel",
    "PackedModel",
    "PlainModel",
    "find_models",
    "load_model",
    "model_input",
    "resolve_device",
]


def __getattr__(name: str) -> Any:
    """The names that come from timm's own lists, which takes as long to import as everything else here."""
    if name not in ("BUNDLED", "find_models", "model_input"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.catalog"), name)
