"""Weights as Hugging Face keeps them: model.safetensors and its config.json, on disk or in the hub."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipeline.defaults import HUB_PREFIX
from pipeline.errors import ModelError
from pipeline.models.weights import first_line, hub_answers
from vocab.paths import is_file, is_folder

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"


@dataclass(frozen=True, slots=True, eq=False)
class HubModel:
    """What the files of a model hold.

    Attributes:
        where: the file of weights.
        state: tensors by name.
        config: what config.json says; empty where there is none.
    """

    where: Path
    state: Mapping[str, torch.Tensor]
    config: Mapping[str, Any]

    def names(self, count: int) -> list[str] | None:
        """Names of so many classes by index, as the config has them; None where it has none.

        Raises:
            ModelError: it has others than those.
        """
        given = self.config.get("id2label")
        if given is None:
            return None
        try:
            names = [str(given[str(index)]) for index in range(count)]
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"{self.where.with_name(_CONFIG)} does not name the {count} classes of the weights; "
                "take both from one place"
            ) from error
        # So transformers calls classes that nobody named.
        unnamed = all(name == f"LABEL_{index}" for index, name in enumerate(names))
        return None if unnamed else names


def open_hub_model(weights: str) -> HubModel:
    """Reads a model's files.

    Args:
        weights: a .safetensors file, a folder that holds model.safetensors, or "hf-hub:OWNER/NAME".

    Raises:
        ModelError: there is no such file, it cannot be read, or the hub cannot be reached.
    """
    path = _fetched(weights) if weights.startswith(HUB_PREFIX) else Path(weights)
    path = path / _WEIGHTS if is_folder(path) else path
    if not is_file(path):
        raise ModelError(
            f"no weights at {path}; give a .safetensors file or {HUB_PREFIX}OWNER/NAME with --weights"
        )
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"cannot read weights from {path}: {first_line(error)}; give a .safetensors file"
        ) from error
    return HubModel(path, state, _config(path.with_name(_CONFIG)))


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {path}: {first_line(error)}; mend it or take it away") from error
    if not isinstance(found, dict):
        raise ModelError(f"{path} is no object of JSON; mend it or take it away")
    return found


def _fetched(weights: str) -> Path:
    """The weights of a repository, from the local cache or the hub, with the config beside them."""
    name = weights.removeprefix(HUB_PREFIX)
    offline = huggingface_hub.constants.HF_HUB_OFFLINE or not hub_answers()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        folder = huggingface_hub.snapshot_download(
            name, allow_patterns=[_WEIGHTS, _CONFIG], local_files_only=offline
        )
    except Exception as error:  # the client library raises what its parts raise
        cause = "the model hub cannot be reached" if offline else f"the download failed ({first_line(error)})"
        raise ModelError(
            f"weights of '{name}' are not in the local cache ({huggingface_hub.constants.HF_HUB_CACHE}) and "
            f"{cause}; connect to the network once, or give its {_WEIGHTS} with --weights"
        ) from error
    return Path(folder)
