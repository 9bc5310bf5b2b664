"""Labels from an embedding: zero-shot, by the nearest of given vectors."""

from __future__ import annotations

from typing import Any

from pipeline.frame import Geometry
from pipeline.models.heads import Arrays, EmbeddingHead, Outputs, Pooling, read_labels, top_labels
from pipeline.models.label_vectors import LabelVectors
from pipeline.results import Answers, Prediction


class ScoringHead:
    """Scores any model's embedding against label vectors; what else the model predicts does not run.

    Args:
        labels: for this model, on its device.
        projects: see `EmbeddingHead`.
        embedding: give the embedding as well.
    """

    def __init__(self, labels: LabelVectors, projects: bool = False, embedding: bool = False) -> None:
        self.answers = Answers("labels", labels.answers)
        self._labels = labels
        self._vectors = EmbeddingHead(projects)
        self._embedding = embedding

    def outputs(self, encoder: Pooling, features: Any) -> Outputs:
        """See `Head.outputs`."""
        embedded = self._vectors.outputs(encoder, features)
        outputs = top_labels(self._labels.scores(embedded["embedding"]))
        return outputs | (embedded if self._embedding else {})

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """See `Head.prediction`."""
        return read_labels(arrays, row, self._labels.answers)
