"""Models by name: the bundled ones, and everything timm has."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pipeline.defaults import DEFAULT_MIN_SCORE, DEFAULT_MODEL
from pipeline.errors import ModelError, UsageError
from pipeline.fit import Size
from pipeline.models.base import Model
from pipeline.models.heads import EmbeddingHead, Head, LabelHead, SaliencyHead
from pipeline.models.packed import PackedModel
from pipeline.models.plain import NullModel, PlainModel
from pipeline.models.positions import Placed, Positions
from pipeline.models.refusal import no_prediction, refusal
from pipeline.models.runtimes.base import OnNotice
from pipeline.runtimes import AUTO, FP32, check_computed

RANDOM_WEIGHTS = "random"


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda" or "cuda:1".

    Raises:
        ModelError: when there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ModelError(f"device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(
            f"no CUDA device for '{name}' (torch sees {torch.cuda.device_count()}); see `vwt doctor`"
        )
    return device


def load_model(
    name: str = DEFAULT_MODEL,
    weights: str | None = None,
    device: torch.device | str = "cpu",
    embedding: bool = False,
    fit: str | None = None,
    size: Size | None = None,
    embedding_only: bool = False,
    precision: str | None = None,
    runtime: str = AUTO,
    on_notice: OnNotice = lambda _notice: None,
    fitted_to: str = "",
    min_score: float = DEFAULT_MIN_SCORE,
) -> Model:
    """Loads a model, ready to run.

    Args:
        name: a bundled model, a detector, or any timm classification or feature model.
        weights: a .safetensors or .pth file, or of a detector "hf-hub:OWNER/NAME"; "random" for untrained
            weights; None for the published ones.
        device: where it runs.
        embedding: add the pooled features to predictions of another kind.
        fit: how pictures are fitted into its input, see `pipeline.fit`; None as suits the model.
        size: of that input in pixels: a side of a square, or "WIDTHxHEIGHT"; None as suits the model.
        embedding_only: predict the pooled features and nothing else; what else there is does not run.
        precision: one of `pipeline.runtimes.PRECISIONS`, or "auto"; None for bf16 on CUDA, fp32 on the CPU.
        runtime: one of `pipeline.runtimes.RUNTIMES`, or "auto".
        on_notice: told what was chosen where that was left open, and what could not be had.
        fitted_to: names what int8 will be fitted to, such as a stream: what was kept of others is not taken.
        min_score: that a box of a detector has at least, 0..1.

    Raises:
        ModelError: unknown name, a model that predicts nothing, or weights that cannot be had.
        UsageError: a fit or size that the model does not take, or a precision or runtime that there is not,
            or not together, or not on this device.
    """
    device = torch.device(device)
    check_computed(precision, runtime, device.type)
    model = _load(name, weights, device, _type_on(device, precision), embedding, embedding_only, min_score)
    model.use(fit, size)
    if isinstance(model, PlainModel) and size is not None:
        _try(model)
    if device.type == "cpu":
        model.compute(precision or FP32, runtime, on_notice, fitted_to)
    return model


def _type_on(device: torch.device, precision: str | None) -> torch.dtype:
    """What the modules are loaded in; on the CPU their precision is the business of `compute`."""
    return torch.float32 if device.type != "cuda" or precision == FP32 else torch.bfloat16


def _load(
    name: str,
    weights: str | None,
    device: torch.device,
    dtype: torch.dtype,
    embedding: bool,
    embedding_only: bool,
    min_score: float,
) -> Model:
    if name == "null":
        return NullModel(device)
    # timm takes as long to import as torch: the null model does without it.
    from pipeline.models.catalog import input_spec, plain_inputs
    from pipeline.models.detectors import DETECTORS, detecting_model
    from pipeline.models.focus import FOCUS_INPUT, decoder_flops, load_focus
    from pipeline.models.labels import imagenet_labels

    if name == DEFAULT_MODEL:
        if weights is not None:
            raise ModelError(f"'{name}' brings its own weights; leave out --weights or name a timm model")
        focus = load_focus()
        backbone = focus.backbone.to(device, dtype)
        positions = Positions(backbone, focus.positions.to(device, dtype), antialias=False)
        if embedding_only:
            return PackedModel(name, backbone, EmbeddingHead(), FOCUS_INPUT, positions=positions)
        saliency = SaliencyHead(focus.decoder.to(device, dtype), embedding)
        return PackedModel(name, backbone, saliency, FOCUS_INPUT, decoder_flops, positions)
    if name in DETECTORS:
        kind = DETECTORS[name]
        torch.manual_seed(0)
        detector = kind.random() if weights == RANDOM_WEIGHTS else kind.load(weights)
        wanted = (min_score, embedding, embedding_only)
        return detecting_model(name, kind.input, detector, device, dtype, *wanted)
    module = _create(name, weights).eval().requires_grad_(False).to(device, dtype)
    reason = no_prediction(module)
    if reason is not None:
        raise ModelError(f"cannot run model '{name}': {reason}; name a classifier or a feature model")
    names = imagenet_labels(module) if module.num_classes else None
    if refusal(module) is not None:
        return PlainModel(name, module, names, plain_inputs(module), embedding, embedding_only)
    labels = module.num_classes and not embedding_only
    head: Head = LabelHead(names, embedding) if labels else EmbeddingHead()
    return PackedModel(name, module, head, input_spec(module))


def _try(model: PlainModel) -> None:
    """Runs a black picture: timm does not say of every model whether it takes other sizes."""
    spec = model.input
    black = torch.zeros(1, 3, spec.height, spec.width, device=model.device)
    try:
        with torch.inference_mode():
            model.run([Placed(black, None)], None)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(
            f"model '{model.name}' does not run at {spec.width}x{spec.height}; leave out --size"
        ) from error


def _create(name: str, weights: str | None) -> nn.Module:
    from pipeline.models.timm_import import timm
    from pipeline.models.weights import check_name, create_from_file, create_from_hub

    check_name(name)
    if weights == RANDOM_WEIGHTS:
        torch.manual_seed(0)
        return timm.create_model(name)
    return create_from_hub(name) if weights is None else create_from_file(name, Path(weights))
