"""Models: what runs on the tokens, and what comes out."""

from pipeline.models.torchvision_compat import allow_missing_operators

allow_missing_operators()

from pipeline.models.base import Model, NullModel, PackedModel, PlainModel  # noqa: E402
from pipeline.models.loading import (  # noqa: E402
    BUNDLED,
    DEFAULT_MODEL,
    FAMILIES,
    RANDOM_WEIGHTS,
    load_model,
    resolve_device,
)

__all__ = [
    "BUNDLED",
    "DEFAULT_MODEL",
    "FAMILIES",
    "RANDOM_WEIGHTS",
    "Model",
    "NullModel",
    "PackedModel",
    "PlainModel",
    "load_model",
    "resolve_device",
]
