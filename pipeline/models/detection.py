"""Detection tokens: prefix tokens of which each answers with one box, or with none.

Where a detector comes from is the business of `detectors.py`; this is what all of that kind have in common.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipeline.boxes import Box
from pipeline.frame import Geometry
from pipeline.models.between import Between
from pipeline.models.detection_tokens import DetectionTokens
from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.heads import Arrays, Outputs, read_embedding
from pipeline.results import Answers, Prediction


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """Three linear layers of one width, with ReLU between them."""
    widths = (inputs, inputs, inputs, outputs)
    layers: list[nn.Module] = []
    for index in range(3):
        layers += [nn.Linear(widths[index], widths[index + 1]), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class DetectionLayers:
    """What reads detection tokens.

    Attributes:
        classify: (..., C) -> (..., classes + 1) scores before softmax; the last is that of nothing.
        locate: (..., C) -> (..., 4) before the sigmoid: centre x, y, width and height in 0..1 of the input.
    """

    classify: nn.Sequential
    locate: nn.Sequential

    def __call__(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(..., C) -> (..., classes + 1) scores before softmax, and (..., 4) boxes, see above."""
        return self.classify(tokens), self.locate(tokens).sigmoid()

    def to(self, device: torch.device) -> DetectionLayers:
        """On a device; in float32 wherever the model is, or boxes snap to a grid of some pixels."""
        return DetectionLayers(*(part.to(device, torch.float32) for part in (self.classify, self.locate)))

    def flops(self, tokens: int) -> int:
        """Operations for so many detection tokens."""
        linears = [one for one in (*self.classify, *self.locate) if isinstance(one, nn.Linear)]
        return 2 * tokens * sum(one.weight.numel() for one in linears)


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """A detector with its weights, in eval mode on the CPU in float32.

    Attributes:
        backbone: a timm model for which `refusal.refusal` has no objection.
        tokens: which of its prefix tokens answer.
        layers: what reads those.
        names: of the classes, by index.
        between: what is added between its blocks; None for nothing.
    """

    backbone: nn.Module
    tokens: DetectionTokens
    layers: DetectionLayers
    names: Sequence[str]
    between: Between | None = None


class DetectionHead:
    """Boxes with names.

    No two detection tokens are asked whether they mean the same thing: models of this kind learn to name each
    thing once.

    Args:
        layers: what reads the tokens.
        names: of the classes, by index.
        min_score: that a box has at least.
        embedding: give what answers are compared by, see `PackedEncoder.head`, as well.
    """

    def __init__(
        self, layers: DetectionLayers, names: Sequence[str], min_score: float, embedding: bool = False
    ) -> None:
        self.answers = Answers("boxes", names)
        self._layers = layers
        self._names = names
        self._min_score = min_score
        self._embedding = embedding

    def outputs(self, encoder: PackedEncoder, features: Features) -> Outputs:
        """See `Head.outputs`; "boxes" (B, D, 4), "score" and "index" (B, D) of D detection tokens."""
        logits, boxes = self._layers(encoder.detections(features).float())
        best = logits.softmax(dim=-1)[..., :-1].max(dim=-1)
        outputs = {"boxes": boxes, "score": best.values, "index": best.indices}
        if self._embedding:
            outputs["embedding"] = encoder.head(features, pre_logits=True)
        return outputs

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """See `Head.prediction`."""
        scores = arrays["score"][row]
        found = [
            Box(
                *_in_source(arrays["boxes"][row, one].tolist(), geometry),
                self._name(index),
                float(scores[one]),
            )
            for one, index in enumerate(arrays["index"][row].tolist())
            if scores[one] >= self._min_score
        ]
        found.sort(key=lambda box: -box.score)
        return Prediction("boxes", boxes=found, embedding=read_embedding(arrays, row))

    def _name(self, index: float) -> str:
        return self._names[int(index)]


def _in_source(box: Sequence[float], geometry: Geometry) -> tuple[float, float, float, float]:
    """Left, top, width and height in 0..1 of the source, of a box that the model gave.

    The model gives it in 0..1 of all that its positions are stretched over.
    """
    canvas = geometry.canvas
    width, height = geometry.input_width, geometry.input_height
    left, top = 0, 0
    if canvas is not None:
        width, height, left, top = canvas.width, canvas.height, canvas.left, canvas.top
    x, y, w, h = box
    x0, y0 = geometry.to_source((x - w / 2) * width - left, (y - h / 2) * height - top)
    x1, y1 = geometry.to_source((x + w / 2) * width - left, (y + h / 2) * height - top)
    return x0, y0, x1 - x0, y1 - y0
