"""The vector that is looked for, made as those of the history were."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pipeline.errors import SourceError, UsageError
from pipeline.frame import Pixels
from pipeline.history import Origin, Wanted
from pipeline.looking import Part, look
from pipeline.models import load_model, resolve_device
from pipeline.models.label_vectors import LabelVectors, full_name
from pipeline.sources.images import decode_image
from workers.find.asked import Asked


def query(asked: Asked, origin: Origin, say: Callable[[str], None]) -> Wanted:
    """What is looked for, among what one model saw.

    Args:
        asked: what for.
        origin: how those embeddings were made.
        say: told what a person should know.

    Raises:
        UsageError: the box, the labels or the text cannot be right.
        SourceError: the picture cannot be read.
        ModelError: the model cannot be had.
    """
    if asked.text is not None:
        return Wanted(_of_text(asked.text, asked, origin))
    model = load_model(
        origin.model,
        asked.weights or origin.weights,
        resolve_device(asked.device),
        embedding=True,
        embedding_only=origin.names is None,
        names=origin.names,
        fit=origin.fit,
        size=origin.size,
        on_notice=say,
        cells=True,
    )
    return look(model, _picture(asked), None if asked.box is None else Part.parse(asked.box))


def _picture(asked: Asked) -> Pixels:
    path = asked.like
    assert path is not None
    try:
        found = decode_image(path.read_bytes())
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror or error}; give a picture") from error
    if found is None:
        raise SourceError(f"{path} is no picture that can be read: give a JPEG, PNG, WebP or BMP file")
    return found


def _of_text(text: str, asked: Asked, origin: Origin) -> npt.NDArray[np.float32]:
    if asked.labels is not None:
        labels = LabelVectors.load(asked.labels)
        if text not in labels.names:
            known = ", ".join(f"'{name}'" for name in labels.names)
            raise UsageError(f"{asked.labels} has no label '{text}'; it has {known}")
        if labels.model != full_name(origin.model):
            raise UsageError(
                f"the labels in {asked.labels} are for model '{labels.model}' and the history was made with "
                f"'{origin.model}': run that one with --index, or make labels for this one"
            )
        return np.asarray(labels.vectors[labels.names.index(text)].numpy(), np.float32)
    from pipeline.models.text_tower import TextTower, text_labels, tower_of

    if asked.text_model is not None and asked.text_weights is not None:
        tower = TextTower(asked.text_model, asked.text_weights)
    else:
        tower = tower_of(origin.model)
    return np.asarray(text_labels([text], origin.model, tower).vectors[0].numpy(), np.float32)
