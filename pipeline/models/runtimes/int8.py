"""Eight bits: NNCF's post-training quantization of the OpenVINO graph, on frames of the stream or of a file.

What it makes is kept on disk, since it takes seconds to tens of seconds.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import logging
import os
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from torch import nn
from torch.nn import functional as F

from pipeline.models.context import AttentionContext
from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Placed
from pipeline.models.runtimes.base import Blocks, Dense, OnNotice, Runtime, StepwiseRuntime
from pipeline.models.runtimes.calibration import Calibration, Images, floor, percentile_5
from pipeline.models.runtimes.openvino_graph import blocks_graph
from pipeline.models.runtimes.openvino_layers import UnsupportedError
from pipeline.models.runtimes.openvino_runtime import (
    OpenVinoRuntime,
    compile_graph,
    core,
    graph_inputs,
    open_openvino,
)
from pipeline.models.runtimes.signal_stack import signal_stack_kept
from pipeline.models.runtimes.torch_runtime import cpu_has_bf16, open_torch
from pipeline.runtimes import BF16, FP32, INT8, Computed, UnavailableError

_FRAMES = 24
# Part of the cache's key: raise it when the graph or the way it is quantized changes.
_VERSION = "2"
_SAYS = "computing in int8 in openvino"


def open_int8(
    encoder: PackedEncoder, blocks: Blocks, on_notice: OnNotice, fitted_to: str
) -> Calibration | None:
    """Gives an encoder its blocks in eight bits, from the cache or once frames are there.

    Args:
        encoder: gets the runtime; until there are frames the one in bfloat16.
        blocks: of the encoder's model, taken over.
        on_notice: told how true the result is.
        fitted_to: see `load_model`; what was fitted to something else is not taken from the cache.

    Raises:
        UnavailableError: OpenVINO or NNCF is not there, or not for this model.
    """
    try:
        versions = [importlib.metadata.version(name) for name in ("openvino", "nncf")]
    except importlib.metadata.PackageNotFoundError as error:
        raise UnavailableError("nncf is not installed: pip install 'vwt-stream[openvino]'") from error
    cached = cache_folder() / _key(blocks, [fitted_to, *versions])
    if cached.with_suffix(".txt").is_file():
        graph = core().read_model(cached.with_suffix(".xml"))
        stepwise = open_torch(blocks, _beside())
        encoder.runtime = OpenVinoRuntime(compile_graph(graph, _beside()), INT8, stepwise)
        on_notice(f"{_SAYS}: {cached.with_suffix('.txt').read_text()} (kept in {cached.parent})")
        return None
    try:
        return Int8(encoder, blocks, cached, on_notice)
    except UnsupportedError as error:
        raise UnavailableError(f"OpenVINO is not told here how to compute {error}") from error


class Int8(Calibration):
    """Quantizes on frames; until then they are computed in bfloat16. See `open_int8`.

    Args:
        cached: where to keep the result, without a suffix.
    """

    wanted = _FRAMES
    per_batch = 1

    def __init__(self, encoder: PackedEncoder, blocks: Blocks, cached: Path, on_notice: OnNotice) -> None:
        super().__init__(encoder)
        self._graph = blocks_graph(blocks)
        self._cached = cached
        self._on_notice = on_notice
        encoder.runtime = open_openvino(blocks, _beside())

    def decide(self, images: Images) -> None:
        """See `Calibration.decide`."""
        self.wanted = 0
        meanwhile = self._encoder.runtime
        recorder = _Recorder(meanwhile)
        self._encoder.runtime = recorder
        truth = self._pooled([Placed(one, place) for some, place in images for one in some.split(1)])
        graph = _quantized(self._graph, recorder.inputs)
        self._encoder.runtime = OpenVinoRuntime(compile_graph(graph, _beside()), INT8, meanwhile.stepwise)
        said = _fidelity(self._pooled(images), truth)
        _keep(graph, self._cached, said)
        self._on_notice(f"{_SAYS}: {said}")


class _Recorder:
    """Keeps what a runtime is given, sequence by sequence, as inputs of its graph."""

    def __init__(self, inner: Runtime) -> None:
        self._inner = inner
        self.inputs: list[list[np.ndarray[Any, Any]]] = []

    @property
    def computed(self) -> Computed:
        return self._inner.computed

    @property
    def dtype(self) -> torch.dtype:
        return self._inner.dtype

    @property
    def stepwise(self) -> StepwiseRuntime:
        return self._inner.stepwise

    def dense(self, layers: nn.Sequential) -> Dense:
        return self._inner.dense(layers)

    def takes(self, context: AttentionContext) -> bool:
        return self._inner.takes(context)

    def forward(
        self, tokens: torch.Tensor, context: AttentionContext, rope: torch.Tensor | None
    ) -> torch.Tensor:
        self.inputs.append([values.numpy() for values in graph_inputs(tokens, context, rope)])
        return self._inner.forward(tokens, context, rope)


def cache_folder() -> Path:
    """Where quantized models are kept, as the XDG base directories have it."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "vwt" / "int8"


def _beside() -> str:
    """In what the rest is computed, and plans that OpenVINO does not take."""
    return BF16 if cpu_has_bf16() else FP32


def _key(blocks: Blocks, settings: Iterable[str]) -> str:
    """Names a model by its weights and by all that decides what becomes of them."""
    digest = hashlib.sha256(" ".join([_VERSION, str(_FRAMES), *settings]).encode())
    for module in (blocks.layers, blocks.norm):
        digest.update(repr(module).encode())
        for name, values in module.state_dict().items():
            digest.update(name.encode())
            digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()[:32]


def _quantized(graph: openvino.Model, inputs: list[list[np.ndarray[Any, Any]]]) -> openvino.Model:
    import nncf

    nncf.set_log_level(logging.ERROR)
    data = nncf.Dataset(inputs)
    # Its progress bars go to standard output, where results may go.
    with redirect_stdout(io.StringIO()), signal_stack_kept():
        return nncf.quantize(graph, data, subset_size=len(inputs), model_type=nncf.ModelType.TRANSFORMER)


def _fidelity(features: torch.Tensor, truth: torch.Tensor) -> str:
    """Says how near pooled features (frames, C) come to the true ones."""
    cosine = percentile_5(F.cosine_similarity(features, truth, dim=-1))
    change = F.cosine_similarity(features.diff(dim=0), truth.diff(dim=0), dim=-1).mean()
    return f"cosine of {len(truth)} frames {floor(cosine)} (5th percentile), change score {float(change):.2f}"


def _keep(graph: openvino.Model, cached: Path, said: str) -> None:
    """Writes the model and what is said of it; the latter last, which makes it valid."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cached.parent) as folder:
        made = Path(folder) / "model.xml"
        openvino.save_model(graph, made, compress_to_fp16=False)
        made.with_suffix(".txt").write_text(said)
        for suffix in (".bin", ".xml", ".txt"):
            made.with_suffix(suffix).replace(cached.with_suffix(suffix))
