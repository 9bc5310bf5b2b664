"""What is looked for by a text, in the histories of models that were trained beside text."""

from __future__ import annotations

import threading

import numpy as np

from pipeline.errors import UsageError
from pipeline.history import Wanted
from pipeline.models.label_vectors import LabelVectors
from workers.settings.schema import InferenceSettings


class Texts:
    """Vectors of texts, by the labels of a model or by its text tower. From any thread; one at a time runs.

    Args:
        settings: which labels and text towers models have.
    """

    def __init__(self, settings: InferenceSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()

    def wanted(self, text: str, model: str) -> Wanted:
        """What is looked for among the embeddings of a model.

        Args:
            text: a label of the model as it is; any other one is embedded by its text tower.
            model: its name.

        Raises:
            UsageError: there is no such label and no tower, or the model does not go with one.
            ModelError: the weights of the tower cannot be had.
        """
        path, choice = self._settings.labels.get(model), self._settings.text_towers.get(model)
        if model in self._settings.names:
            raise UsageError(
                f"model '{model}' has names of classes here (inference.names): it is not one beside text"
            )
        with self._lock:
            labels = None if path is None else LabelVectors.load(path)
            if labels is None or text not in labels.names:
                if choice is None:
                    raise UsageError(_refusal(text, model, labels))
                # Imports open_clip, which who has labels does without.
                from pipeline.models.text_tower import TextTower, text_labels, tower_of

                tower = (
                    tower_of(model) if isinstance(choice, str) else TextTower(choice.model, choice.weights)
                )
                labels = text_labels([text], model, tower)
        return Wanted(np.asarray(labels.vectors[labels.names.index(text)].numpy(), np.float32))


def _refusal(text: str, model: str, labels: LabelVectors | None) -> str:
    setting = f'the setting inference.text_towers: {{"{model}": ...}} names a text tower, if it has one'
    if labels is None:
        return f"model '{model}' has neither labels nor a text tower here: {setting}"
    known = ", ".join(f"'{name}'" for name in labels.names)
    return f"'{text}' is none of the labels of model '{model}' ({known}): {setting}"
