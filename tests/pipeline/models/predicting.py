"""Runs a model on pictures, all patches kept."""

from collections.abc import Sequence

import torch

from pipeline.frame import Geometry
from pipeline.models import Model
from pipeline.models.positions import Placed
from pipeline.results import Prediction
from pipeline.tokenizers import FullTokenizer

GEOMETRY = Geometry(224, 224, 224, 224, 1, 1, 0, 0)


@torch.inference_mode()
def predict(model: Model, images: torch.Tensor) -> Sequence[Prediction]:
    """Predictions for (B, 3, H, W) normalised pictures."""
    plan = None
    if model.patch_size is not None:
        plan = FullTokenizer().plan(images, model.patch_size, model.prefix)
    arrays = {
        key: value.float().numpy()
        for key, value in model.run([Placed.filling(images, model.patch_size)], plan)[0].items()
    }
    return [model.prediction(arrays, row, GEOMETRY) for row in range(len(images))]
