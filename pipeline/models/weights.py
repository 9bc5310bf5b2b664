"""Weights of timm models: from a file, from the model hub, or none."""

from __future__ import annotations

import difflib
import logging
import pickle
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from safetensors import SafetensorError
from torch import nn

from pipeline.errors import ModelError
from pipeline.models.timm_import import timm

_HUB_TIMEOUT_S = 5.0


def check_name(name: str) -> None:
    """Raises ModelError when timm has no model of that name."""
    if not timm.is_model(name):
        close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
        hint = f"did you mean {', '.join(close)}? " if close else ""
        raise ModelError(f"unknown model '{name}'; {hint}see `vwt models`")


def create_from_hub(name: str) -> nn.Module:
    """A timm model with its published weights, from the local cache or the model hub.

    Raises:
        ModelError: when it has no published weights, or they are not cached and the hub cannot be reached.
    """
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise ModelError(
            f"timm publishes no weights for '{name}'; give a file with --weights, "
            "or --weights random to measure speed only"
        )
    # The hub client retries for most of a minute; one look tells whether that can help.
    offline = huggingface_hub.constants.HF_HUB_OFFLINE or not hub_answers()
    huggingface_hub.constants.HF_HUB_OFFLINE = offline
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:
        cause = "the model hub cannot be reached" if offline else f"the download failed ({first_line(error)})"
        raise ModelError(
            f"weights of '{name}' are not in the local cache and {cause}; connect to the network once, "
            "or give a file with --weights"
        ) from error


def create_from_file(name: str, path: Path) -> nn.Module:
    """A timm model with weights from a .safetensors or .pth file; the head is sized to fit the file.

    Raises:
        ModelError: when the file cannot be read or holds weights of another model.
    """
    if not path.is_file():
        raise ModelError(f"no weights at {path}; give a .safetensors or .pth file with --weights")
    try:
        state: dict[str, Any] = timm.models.load_state_dict(str(path))
    except (OSError, RuntimeError, ValueError, SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise ModelError(
            f"cannot read weights from {path}: {first_line(error)}; give a .safetensors file, "
            "or a .pth file that holds tensors only"
        ) from error
    except Exception as error:  # a file may hold anything, and timm looks for more than there is
        raise _not_weights(path) from error
    if not isinstance(state, dict) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise _not_weights(path)
    config = timm.get_pretrained_cfg(name)
    classifier = "head" if config is None else config.classifier
    head = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    if head is not None and head.ndim == 0:
        raise ModelError(
            f"the weights in {path} are not those of '{name}': its head is one number; check --model"
        )
    model = timm.create_model(name, num_classes=0 if head is None else len(head))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {path} are not those of '{name}': {mismatch(model, state)}; check --model"
        ) from error
    return model


def _not_weights(path: Path) -> ModelError:
    return ModelError(f"{path} holds no weights by name; give a .safetensors or .pth file of a timm model")


def hub_answers() -> bool:
    """Whether the model hub can be reached now."""
    try:
        huggingface_hub.get_session().head(huggingface_hub.constants.ENDPOINT, timeout=_HUB_TIMEOUT_S)
    except Exception:  # the client library behind the session varies between versions
        return False
    return True


def mismatch(model: nn.Module, state: dict[str, Any]) -> str:
    """Says by which names and shapes weights are not those of a model."""
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    surplus = [key for key in state if key not in own]
    shapes = [
        key for key in own if isinstance(state.get(key), torch.Tensor) and state[key].shape != own[key].shape
    ]
    parts = [
        f"{len(keys)} {what} (first: {keys[0]})"
        for keys, what in ((missing, "missing"), (surplus, "unknown"), (shapes, "of another shape"))
        if keys
    ]
    return ", ".join(parts) or "the layout differs"


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
