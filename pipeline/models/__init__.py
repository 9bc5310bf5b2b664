"""Models: what runs on the tokens, and what comes out."""

from pipeline.models.torchvision_compat import allow_missing_operators

allow_missing_operators()

from pipeline.models.base import Model, NullModel, PackedModel, PlainModel  # noqa: E402
from pipeline.models.catalog import BUNDLED, find_models, model_input  # noqa: E402
from pipeline.models.families import FAMILIES  # noqa: E402
from pipeline.models.loading import RANDOM_WEIGHTS, load_model, resolve_device  # noqa: E402

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
