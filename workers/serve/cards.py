"""How many replicas of Inference the GPUs hold: one more would wait for a card for ever."""

from __future__ import annotations

import math
from collections.abc import Callable

from pipeline.errors import UsageError
from workers.settings.schema import InferenceSettings

# A third and a third and a third are one.
_ROUNDING = 1e-9


def replicas_that_fit(cards: float, share: float) -> int:
    """Replicas for which there is room.

    Args:
        cards: GPUs there are.
        share: of one that a replica takes, or how many whole ones.
    """
    if share > 1:
        return math.floor(cards / share)
    # Ray splits a card, but gives nobody parts of two.
    return math.floor(cards) * math.floor(1 / share + _ROUNDING)


def fitted(
    inference: InferenceSettings, cards: float | None, say: Callable[[str], None]
) -> InferenceSettings:
    """Settings that ask for no more replicas than the GPUs hold.

    Args:
        inference: as they were given.
        cards: GPUs there are, or may be added; None where nobody knows.
        say: told of replicas that were asked for and cannot be.

    Raises:
        UsageError: there is no room for as many as there must be.
    """
    share, scaling = inference.num_gpus, inference.scaling
    if not share or cards is None:
        return inference
    most = replicas_that_fit(cards, share)
    asked = f"replicas of Inference with {share:g} of a GPU each (inference.num_gpus)"
    have = f"there {'is' if cards == 1 else 'are'} {cards:g} GPU{'' if cards == 1 else 's'}"
    if most < scaling.min_replicas:
        raise UsageError(
            f"{scaling.min_replicas} {asked} do not fit, {have}: give each a smaller share, "
            "or inference.num_gpus = 0 for the CPU"
        )
    if most >= scaling.max_replicas:
        return inference
    if "max_replicas" in scaling.model_fields_set and "scaling" in inference.model_fields_set:
        say(f"of {scaling.max_replicas} {asked} at most {most} fit, {have}")
    return inference.model_copy(update={"scaling": scaling.model_copy(update={"max_replicas": most})})
