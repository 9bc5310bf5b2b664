"""What detection tokens say becomes boxes in the source picture."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline.frame import Canvas, Geometry
from pipeline.models.coco import COCO_NAMES
from pipeline.models.detection import DetectionHead, DetectionLayers, perceptron
from pipeline.models.detection_tokens import DetectionTokens
from tests.pipeline.outputs.examples import cropped, letterboxed

LAYERS = DetectionLayers(perceptron(8, 4), perceptron(8, 4))
WHOLE = Geometry(640, 480, 320, 240, 0.5, 0.5, 0.0, 0.0)


def head(min_score: float = 0.5) -> DetectionHead:
    return DetectionHead(LAYERS, ["N/A", "person", "car"], min_score)


def said(*boxes: tuple[float, float, float, float], scores: list[float], indices: list[int]):
    return {
        "boxes": np.array([boxes], np.float32),
        "score": np.array([scores], np.float32),
        "index": np.array([indices], np.float32),
    }


def test_a_box_has_a_name_and_those_of_low_score_are_left_out() -> None:
    centred = (0.5, 0.5, 0.2, 0.4)
    arrays = said(centred, centred, centred, scores=[0.6, 0.4, 0.9], indices=[1, 1, 2])

    found = head().prediction(arrays, 0, WHOLE)

    assert found.kind == "boxes"
    assert [(box.name, round(box.score, 3)) for box in found.boxes] == [("car", 0.9), ("person", 0.6)]
    assert len(head(0.3).prediction(arrays, 0, WHOLE).boxes) == 3
    assert not head(0.95).prediction(arrays, 0, WHOLE).boxes


def place(geometry: Geometry, box: tuple[float, float, float, float]) -> tuple[float, ...]:
    (found,) = head().prediction(said(box, scores=[1.0], indices=[1]), 0, geometry).boxes
    return found.x, found.y, found.w, found.h


def test_a_box_is_told_from_its_top_left_in_parts_of_the_picture() -> None:
    assert place(WHOLE, (0.5, 0.5, 0.2, 0.4)) == pytest.approx((0.4, 0.3, 0.2, 0.4))
    # What reaches beyond the picture ends with it.
    assert place(WHOLE, (0.0, 0.5, 0.2, 0.4)) == pytest.approx((0.0, 0.3, 0.1, 0.4))


def test_padding_is_no_part_of_the_picture() -> None:
    # Twice as wide as high: the picture fills the middle half of the square.
    assert place(letterboxed(448, 224), (0.5, 0.5, 1.0, 0.5)) == pytest.approx((0, 0, 1, 1))


def test_padding_that_was_left_out_still_counts_for_where_a_box_is() -> None:
    square = letterboxed(448, 224)
    cut = Geometry(448, 224, 224, 112, 0.5, 0.5, 0.0, 0.0, Canvas(224, 224, 0, 56))
    for box in ((0.5, 0.5, 1.0, 0.5), (0.3, 0.4, 0.2, 0.1)):
        assert place(cut, box) == pytest.approx(place(square, box))


def test_a_cropped_picture_has_its_boxes_in_the_middle() -> None:
    assert place(cropped(448, 224), (0.5, 0.5, 1.0, 1.0)) == pytest.approx((0.25, 0, 0.5, 1))


def test_the_names_of_coco_are_those_of_torchvision() -> None:
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    known = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    assert list(COCO_NAMES[1:]) == known[1:]


@pytest.mark.parametrize("distance", [0.02, 0.2])
def test_answers_are_as_far_apart_as_their_tokens_side_by_side(distance: float) -> None:
    width = 384
    tokens = torch.randn(40, 100, width, generator=torch.Generator().manual_seed(0))
    # Tokens have most of their length in common, as behind a norm.
    tokens = tokens + 2 * tokens.mean(dim=(0, 1)) + torch.linspace(-1, 1, width)
    other = tokens + distance * torch.randn(tokens.shape, generator=torch.Generator().manual_seed(1))
    detecting = DetectionTokens(1, 100, width)

    short = 1 - F.cosine_similarity(detecting.pooled(tokens), detecting.pooled(other))
    long = 1 - F.cosine_similarity(tokens.flatten(1), other.flatten(1))

    assert short.mean() == pytest.approx(float(long.mean()), rel=0.05)
    assert ((short - long) / long).std() < 1.5 * 2 / width**0.5


def test_one_token_that_says_something_else_does_not_drown_among_the_others() -> None:
    tokens = torch.randn(1, 100, 384, generator=torch.Generator().manual_seed(0))
    other = tokens.clone()
    # Two that change places are two other answers, and have the same mean.
    other[:, [3, 40]] = other[:, [40, 3]]
    detecting = DetectionTokens(1, 100, 384)

    apart = 1 - F.cosine_similarity(detecting.pooled(tokens), detecting.pooled(other))

    assert 0.01 < float(apart) < 0.03
