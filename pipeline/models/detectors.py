"""Detectors by name.

The place for a further one: a `Detectable` in `DETECTORS`, and a file like `yolos.py` that makes a `Detector`
of its weights. docs/models.md says what its backbone and its head have to be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch

from pipeline.defaults import DEFAULT_MIN_SCORE
from pipeline.input_spec import InputSpec
from pipeline.models.detection import DetectionHead, Detector
from pipeline.models.heads import EmbeddingHead
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Positions
from pipeline.models.yolos import PATCH_SIZE, YOLOS, load_yolos, random_yolos
from pipeline.tokenizers.registry import Part


class Detectable(NamedTuple):
    """A detector that can be had.

    Attributes:
        what: it is, for people.
        hub: the repository of its published weights.
        input: its own.
        patch_size: side of a patch in pixels.
        load: makes it of weights, see `open_hub_model`; None for the published ones.
        random: makes it without training.
        parts: what its backbone has that tokenizers may need.
    """

    what: str
    hub: str
    input: InputSpec
    patch_size: int
    load: Callable[[str | None], Detector]
    random: Callable[[], Detector]
    parts: tuple[Part, ...] = ("plain patches", "a class token")


DETECTORS = {
    name: Detectable(
        f"YOLOS (arXiv 2106.00666), {variant.width} wide, for 80 kinds of things",
        variant.hub,
        variant.input,
        PATCH_SIZE,
        partial(load_yolos, variant),
        partial(random_yolos, variant),
    )
    for name, variant in YOLOS.items()
}


def detecting_model(
    name: str,
    spec: InputSpec,
    detector: Detector,
    device: torch.device,
    dtype: torch.dtype,
    min_score: float = DEFAULT_MIN_SCORE,
    embedding: bool = False,
    embedding_only: bool = False,
) -> PackedModel:
    """A detector, ready to run.

    Args:
        name: what results call it.
        spec: its own input.
        detector: with its weights.
        device, dtype: of its backbone.
        min_score, embedding, embedding_only: see `load_model`.
    """
    backbone = detector.backbone.to(device, dtype)
    between = None if detector.between is None else detector.between.to(device, dtype)
    positions = Positions(backbone, antialias=False, between=between)
    tokens, layers = detector.tokens.to(device), detector.layers.to(device)
    if embedding_only:
        return PackedModel(name, backbone, EmbeddingHead(), spec, positions=positions, detects=tokens)
    head = DetectionHead(layers, detector.names, min_score, embedding)
    flops = layers.flops(tokens.count)
    return PackedModel(name, backbone, head, spec, lambda _grid: flops, positions, tokens)
