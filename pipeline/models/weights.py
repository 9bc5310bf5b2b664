"""Weights of timm models: from a file, from the model hub, or none."""

from __future__ import annotations

import difflib
import logging
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import torch
from safetensors import SafetensorError
from torch import nn

from pipeline.errors import ModelError
from pipeline.models.elsewhere import FOLDER, is_elsewhere
from pipeline.models.timm_import import timm
from vocab.paths import is_file

_HUB_TIMEOUT_S = 5.0
_MEND = "give a file with --weights (the service: the setting inference.weights)"


def check_name(name: str) -> None:
    """Raises ModelError when timm has no model of that name; those of a hub or folder it does not know."""
    if is_elsewhere(name) or timm.is_model(name):
        return
    if "/" in name or ":" in name:
        raise ModelError(
            f"unknown model '{name}'; a repository of the model hub is named as hf-hub:owner/name, a folder "
            "with config.json and weights as local-dir:path"
        )
    close = difflib.get_close_matches(name.split(".")[0], timm.list_models(), n=3)
    hint = f"did you mean {', '.join(close)}? " if close else ""
    raise ModelError(f"unknown model '{name}'; {hint}see `vwt models`")


def create_untrained(name: str, **options: Any) -> nn.Module:
    """A timm model without its weights.

    Args:
        name: that `check_name` takes; of what is in a hub or folder the configuration is read.
        options: as `timm.create_model` takes them.

    Raises:
        ModelError: its configuration cannot be had.
    """
    if not is_elsewhere(name):
        return timm.create_model(name, **options)
    with reaching_hub(name, "the configuration", "config.json", _repository(name), _MEND):
        return timm.create_model(name, **options)


def create_from_hub(name: str) -> nn.Module:
    """A timm model with its published weights, from the local cache, the model hub, or a folder.

    Raises:
        ModelError: when it has no published weights, or they are not cached and the hub cannot be reached.
    """
    config = None if is_elsewhere(name) else timm.get_pretrained_cfg(name)
    if not is_elsewhere(name) and (config is None or not config.has_weights):
        raise ModelError(
            f"timm publishes no weights for '{name}'; give a file with --weights (the service: the setting "
            "inference.weights), or --weights random to measure speed only; see `vwt models`"
        )
    file = (config and config.hf_hub_filename) or "model.safetensors"
    with reaching_hub(name, "weights", file, _repository(name), _MEND):
        return timm.create_model(name, pretrained=True)


@contextmanager
def reaching_hub(name: str, what: str, file: str, repository: str, mend: str) -> Iterator[None]:
    """Within the block, what is not in the local cache comes from the model hub.

    Args:
        name: of a model.
        what: of it is looked for, in words.
        file, repository: where the hub has that.
        mend: what helps where neither has it, beside a network.

    Raises:
        ModelError: the block failed; says where things were looked for, and what to do.
    """
    folder = name.startswith(FOLDER)
    # The hub client retries for most of a minute; one look tells whether that can help.
    offline = not folder and (huggingface_hub.constants.HF_HUB_OFFLINE or not hub_answers())
    before, huggingface_hub.constants.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE, offline
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:
        cause = "the model hub cannot be reached" if offline else f"the download failed ({first_line(error)})"
        if folder:
            raise ModelError(
                f"{what} of '{name}' cannot be read ({first_line(error)}); the folder holds config.json and "
                "model.safetensors as timm writes them"
            ) from error
        raise ModelError(
            f"{what} of '{name}' are not in the local cache ({file} of {repository}, looked for in "
            f"{huggingface_hub.constants.HF_HUB_CACHE}) and {cause}; connect to the network once, copy that "
            f"folder from a machine that has it, or {mend}"
        ) from error
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = before


def _repository(name: str) -> str:
    """Where the hub keeps a model."""
    if is_elsewhere(name):
        return name.partition(":")[2]
    config = timm.get_pretrained_cfg(name)
    return str(config.hf_hub_id or config.url)


def create_from_file(name: str, path: Path) -> nn.Module:
    """A timm model with weights from a .safetensors or .pth file; the head is sized to fit the file.

    The image tower of a checkpoint of open_clip is taken out of it, as timm does with published ones.

    Raises:
        ModelError: when the file cannot be read or holds weights of another model.
    """
    if not is_file(path):
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
    state = _converted(name, state, path)
    classifier = _classifier(name)
    head = state.get(f"{classifier}.weight") if isinstance(classifier, str) else None
    if head is not None and head.ndim == 0:
        raise ModelError(
            f"the weights in {path} are not those of '{name}': its head is one number; check --model"
        )
    model = create_untrained(name, num_classes=0 if head is None else len(head))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ModelError(
            f"the weights in {path} are not those of '{name}': {mismatch(model, state)}; check --model"
        ) from error
    return model


def _converted(name: str, state: dict[str, Any], path: Path) -> dict[str, Any]:
    """Weights by timm's names, where they are by those of open_clip."""
    if is_elsewhere(name) or not any(key.startswith("visual.") for key in state):
        return state
    family = sys.modules[timm.model_entrypoint(name).__module__]
    try:
        with torch.device("meta"):
            tower = timm.create_model(name)
        found: dict[str, Any] = family.checkpoint_filter_fn(dict(state), tower)
    except Exception as error:  # there is no converter for this family, or it meets what it does not expect
        raise ModelError(
            f"the weights in {path} are of image and text by open_clip's names, and timm cannot take those "
            f"of '{name}' out of them; check --model"
        ) from error
    return found


def _classifier(name: str) -> Any:
    """What a model calls its last layer."""
    if is_elsewhere(name):
        with torch.device("meta"):
            config: Any = create_untrained(name).pretrained_cfg
        return config.get("classifier")
    known = timm.get_pretrained_cfg(name)
    return "head" if known is None else known.classifier


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
