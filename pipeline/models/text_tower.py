"""Vectors of texts, by the text tower beside an image tower. Needs open_clip (the extra `text`)."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.nn.functional import normalize

from pipeline.errors import ModelError, UsageError
from pipeline.models.catalog import embedding_width
from pipeline.models.label_vectors import LabelVectors, full_name
from pipeline.models.timm_import import timm
from pipeline.models.weights import reaching_hub
from pipeline.results import RANDOM_WEIGHTS
from vocab.paths import is_file

TEMPLATES = ("{}", "a photo of {}.", "a picture of {}, seen by a camera.")
_AT_ONCE = 64
_MEND = "give a file with --text-weights"


@dataclass(frozen=True, slots=True)
class TextTower:
    """Which of open_clip's models embeds texts, and where its weights are from.

    Attributes:
        name: of the model there, such as "ViT-B-16".
        weights: a tag of it, a file, or "random".
    """

    name: str
    weights: str

    @property
    def text(self) -> str:
        """For people."""
        return f"{self.name} of open_clip, {self.weights} weights"


def tower_of(model: str) -> TextTower:
    """The text tower that the published weights of a timm model belong to.

    Both packages name the repository of the hub that holds image and text: where it is one, so are they.

    Raises:
        UsageError: there is none that both name.
    """
    pretrained = _open_clip().pretrained._PRETRAINED
    config = timm.get_pretrained_cfg(model) if timm.is_model(model) else None
    for name, tags in pretrained.items():
        for tag, found in tags.items():
            if (
                config is not None
                and config.hf_hub_id
                and (found.get("hf_hub") or "").strip("/") == config.hf_hub_id
            ):
                return TextTower(name, tag)
    raise UsageError(
        f"open_clip names no text tower for model '{model}': name the one it was trained beside with "
        "--text-model (such as ViT-B-16) and --text-weights (a tag of open_clip, or a file)"
    )


@torch.inference_mode()
def text_labels(
    names: Sequence[str],
    model: str,
    tower: TextTower,
    templates: Sequence[str] = TEMPLATES,
    temperature: float | None = None,
    none_below: float | None = None,
) -> LabelVectors:
    """Labels for a model by their texts.

    Each name is put into every template; the vectors of these texts, of unit length, are averaged.

    Args:
        names: what a picture may show, such as "a forklift".
        model: a timm model, an image tower.
        tower: the text tower it was trained beside.
        templates: with {} where the name goes.
        temperature: of the softmax over cosines; None for what the towers were trained with.
        none_below: see `LabelVectors`.

    Raises:
        UsageError: open_clip is not installed, has no such model, or it does not go with this one.
        ModelError: its weights cannot be had.
    """
    if not all("{}" in template for template in templates) or not templates:
        raise UsageError("a template is a text with {} where the name goes")
    width = embedding_width(model)
    module, tokenizer = _load(tower)
    texts = [template.replace("{}", name) for name in names for template in templates]
    vectors = torch.cat(
        [
            module.encode_text(tokenizer(texts[first : first + _AT_ONCE]), normalize=True).float()
            for first in range(0, len(texts), _AT_ONCE)
        ]
    )
    if vectors.shape[1] != width:
        raise UsageError(
            f"the texts of {tower.name} are {vectors.shape[1]} numbers wide and the pictures of model "
            f"'{model}' {width}: they were not trained beside each other; check --text-model"
        )
    means = normalize(vectors.unflatten(0, (len(names), len(templates))).mean(dim=1), dim=-1)
    scale = module.logit_scale.exp().item() if temperature is None else 1 / temperature
    return LabelVectors(names, means.contiguous(), full_name(model), scale, none_below, tower.text)


@lru_cache(maxsize=1)
def _load(tower: TextTower) -> tuple[Any, Any]:
    """The model, in eval mode, and its tokenizer; the last one is kept, for who searches again and again."""
    open_clip = _open_clip()
    if tower.name not in open_clip.list_models():
        raise UsageError(
            f"open_clip has no model '{tower.name}'; it has {', '.join(_similar(tower.name))} and others"
        )
    random = tower.weights == RANDOM_WEIGHTS
    known = open_clip.pretrained._PRETRAINED.get(tower.name, {}).get(tower.weights)
    if not random and known is None and not is_file(tower.weights):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(tower.name)) or "none"
        raise UsageError(
            f"there are no text weights '{tower.weights}': give a file, or one of open_clip's tags for "
            f"{tower.name} ({tags})"
        )
    torch.manual_seed(0)
    if known is None:
        try:
            module = open_clip.create_model(
                tower.name, pretrained=None if random else tower.weights, pretrained_text=False
            )
        except Exception as error:  # a file may hold anything
            cause = str(error).strip().partition("\n")[0]
            raise ModelError(
                f"{tower.weights} holds no weights of open_clip's {tower.name} ({cause}); check --text-model"
            ) from error
        return module.eval(), _tokenizer(tower.name)
    repository = str(known.get("hf_hub") or known.get("url")).strip("/")
    with reaching_hub(tower.name, "text weights", "image and text", repository, _MEND):
        module = open_clip.create_model(
            tower.name, tower.weights, force_quick_gelu=bool(known.get("quick_gelu"))
        )
    return module.eval(), _tokenizer(tower.name)


def _tokenizer(name: str) -> Any:
    open_clip = _open_clip()
    repository = open_clip.get_model_config(name)["text_cfg"].get("hf_tokenizer_name")
    if repository is None:
        return open_clip.get_tokenizer(name)
    with reaching_hub(name, "the tokenizer", "tokenizer.json", repository, "name another --text-model"):
        return open_clip.get_tokenizer(name)


def _similar(name: str) -> list[str]:
    known: list[str] = _open_clip().list_models()
    return difflib.get_close_matches(name, known, n=3) or known[:3]


def _open_clip() -> Any:
    # `timm_import`, which is imported above, lets torchvision be imported too, which open_clip asks for.
    try:
        import open_clip
    except ImportError as error:
        raise UsageError("labels from text need one more package: pip install 'vwt-stream[text]'") from error
    return open_clip
