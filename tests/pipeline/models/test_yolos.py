from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from pipeline.errors import ModelError
from pipeline.models.detectors import DETECTORS, detecting_model
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Placed
from pipeline.models.yolos import YOLOS, Variant, load_yolos
from pipeline.tokenizers import FullTokenizer
from tests.pipeline.models.yolos import SMALL, SMALL_WITHOUT, saved, theirs


def model_of(variant: Variant, weights: str) -> PackedModel:
    detector = load_yolos(variant, weights)
    return detecting_model("yolos", variant.input, detector, torch.device("cpu"), torch.float32)


def pictures(height: int, width: int, count: int = 1) -> torch.Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(1))


@torch.inference_mode()
def answer(model: PackedModel, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores before softmax and boxes of every detection token."""
    features = model.encode([Placed.filling(images, 16)], FullTokenizer().plan(images, 16, model.prefix))
    return model._head._layers(model.encoder.detections(features))


@pytest.mark.parametrize("name", ["yolos_tiny", "yolos_small"])
def test_a_published_size_answers_as_in_transformers_at_any_size_and_aspect(name, tmp_path):
    reference = theirs(YOLOS[name])
    model = model_of(YOLOS[name], saved(reference, tmp_path))
    for height, width in ((160, 224), (256, 144), (64, 480)):
        images = pictures(height, width)
        with torch.inference_mode():
            right = reference(images)
        logits, boxes = answer(model, images)
        assert (logits - right.logits).abs().max() <= 1e-4
        assert (boxes - right.pred_boxes).abs().max() <= 1e-4
