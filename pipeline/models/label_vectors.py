"""Labels that need no training: a vector per name, which the embedding of a picture is compared with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch.nn.functional import normalize

from pipeline.errors import UsageError
from pipeline.models.names import is_shown
from vocab.paths import is_file

NONE_OF_THESE = "none of these"
_FORMAT = "vwt-labels/1"
_UNREADABLE = (SafetensorError, KeyError, ValueError, TypeError, OverflowError, RecursionError)
# Times a cosine it must be a number of which there is an exponential function.
_MOST_SCALE = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class LabelVectors:
    """Names and where they lie among the embeddings of one model.

    Attributes:
        names: L of them, all different.
        vectors: (L, C) float32 of unit length.
        model: whose embeddings they are for, see `full_name`.
        scale: what cosines are multiplied by before the softmax (one over its temperature).
        none_below: a cosine: where no label has more, the answer is `NONE_OF_THESE`. None for no such answer.
        made_with: what the vectors come from, in words.
    """

    names: Sequence[str]
    vectors: torch.Tensor
    model: str
    scale: float = 100.0
    none_below: float | None = None
    made_with: str = ""

    def __post_init__(self) -> None:
        """Raises UsageError where the parts do not fit together."""
        wrong = self._wrong()
        if wrong is not None:
            raise UsageError(f"these labels cannot be used: {wrong}")

    @property
    def answers(self) -> list[str]:
        """Names in the order of `scores`."""
        return [*self.names, *([] if self.none_below is None else [NONE_OF_THESE])]

    def scores(self, embeddings: torch.Tensor) -> torch.Tensor:
        """What the softmax is taken of: (B, C) embeddings -> (B, L) scaled cosines.

        With `none_below` there is one column more: "none of these" counts as a label at that cosine, so it is
        the best answer exactly where no label is nearer.
        """
        cosines = normalize(embeddings.float(), dim=-1) @ self.vectors.T
        if self.none_below is not None:
            cosines = torch.cat([cosines, cosines.new_full((len(cosines), 1), self.none_below)], dim=1)
        return self.scale * cosines

    def to(self, device: torch.device) -> LabelVectors:
        """The same on a device."""
        return replace(self, vectors=self.vectors.to(device))

    def save(self, path: str | Path) -> None:
        """Writes a .safetensors file: the tensor `vectors`, and all else in its metadata.

        Raises:
            UsageError: it cannot be written.
        """
        told = {"format": _FORMAT, "names": json.dumps(list(self.names)), "model": self.model}
        told |= {"scale": repr(self.scale), "none_below": json.dumps(self.none_below)}
        try:
            save_file({"vectors": self.vectors.cpu()}, path, told | {"made_with": self.made_with})
        except (OSError, SafetensorError) as error:
            raise UsageError(f"cannot write labels to {path}: {error}") from error

    @classmethod
    def load(cls, path: str | Path) -> LabelVectors:
        """Reads what `save` wrote.

        Raises:
            UsageError: it cannot be read, or holds no labels.
        """
        if not is_file(path):
            raise UsageError(f"no labels at {path}; make some with `vwt labels text`")
        try:
            with safe_open(str(path), framework="pt") as file:
                told = file.metadata() or {}
                if told.get("format") != _FORMAT:
                    raise UsageError(f"{path} holds no labels; make some with `vwt labels text`")
                names = json.loads(told["names"])
                if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                    raise ValueError("its names are no list of texts")
                none_below = json.loads(told["none_below"])
                return cls(
                    names,
                    file.get_tensor("vectors").float(),
                    told["model"],
                    float(told["scale"]),
                    None if none_below is None else float(none_below),
                    told.get("made_with", ""),
                )
        except (*_UNREADABLE, OSError) as error:
            raise UsageError(
                f"cannot read labels from {path}: it is no file of `vwt labels text` ({error})"
            ) from error

    def check_model(self, path: str | Path, model: str, width: int) -> None:
        """Whether the embeddings of a model may be compared with these.

        Args:
            path: where they are from.
            model: its name.
            width: of its embeddings.

        Raises:
            UsageError: they are for another model, or of another width.
        """
        if full_name(model) != self.model:
            raise UsageError(
                f"the labels in {path} are for model '{self.model}', not '{model}': "
                f"name that one, or make labels for this one"
            )
        if self.vectors.shape[1] != width:
            raise UsageError(
                f"the labels in {path} are {self.vectors.shape[1]} numbers wide and the embeddings of "
                f"model '{model}' {width}: make labels for these"
            )

    def _wrong(self) -> str | None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.names) or not self.names:
            return f"{len(self.names)} names need as many vectors, not {list(self.vectors.shape)}"
        if len(set(self.names)) < len(self.names) or not all(name.strip() for name in self.names):
            return "two names are the same, or one is empty"
        if not torch.isfinite(self.vectors).all() or not torch.allclose(
            self.vectors.norm(dim=1), torch.ones(len(self.vectors), device=self.vectors.device), atol=1e-3
        ):
            return "a vector is not of unit length"
        if not all(is_shown(name) for name in self.names):
            return "a name holds what cannot be shown"
        if not 0 < self.scale <= _MOST_SCALE:
            return f"the scale {self.scale:g} is not above 0 and at most {_MOST_SCALE:g}"
        if self.none_below is not None and not -1 <= self.none_below <= 1:
            return f"{self.none_below} is no cosine (-1 to 1)"
        return None


def full_name(model: str) -> str:
    """A model's name with its tag, where timm has a default for it; so one model has one name."""
    from pipeline.models.timm_import import timm

    config = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    return f"{config.architecture}.{config.tag}" if config is not None and config.tag else model
