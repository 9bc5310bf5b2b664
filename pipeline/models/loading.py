"""Models by name: the bundled ones, and everything timm has."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from pipeline.defaults import DEFAULT_MIN_SCORE, DEFAULT_MODEL, HUB_PREFIX
from pipeline.errors import ModelError, UsageError
from pipeline.fit import Size
from pipeline.models.base import Model
from pipeline.models.heads import EmbeddingHead, LabelHead, PooledHead, SaliencyHead
from pipeline.models.label_vectors import LabelVectors
from pipeline.models.names import check_count, read_names
from pipeline.models.packed import PackedModel
from pipeline.models.plain import NullModel, PlainModel
from pipeline.models.positions import Placed, Positions
from pipeline.models.refusal import no_prediction, refusal
from pipeline.models.runtimes.base import OnNotice
from pipeline.models.scoring import ScoringHead
from pipeline.results import RANDOM_WEIGHTS, Weights
from pipeline.runtimes import AUTO, BF16, FP32, TORCH, check_computed

if TYPE_CHECKING:
    from pipeline.models.detection import Detector


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
    names: str | Path | None = None,
    labels: str | Path | None = None,
    min_score: float = DEFAULT_MIN_SCORE,
    cells: bool = False,
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
        names: a file with the names of its classes, see `read_names`; then they are classes, whatever timm
            takes them for.
        labels: a file of vectors, see `LabelVectors`: labels are predicted by comparing the pooled features
            with them, and nothing else is.
        min_score: that a box of a detector has at least, 0..1.
        cells: add the features of parts of the picture, for a history; see `Prediction.cells`.

    Raises:
        ModelError: unknown name, a model that predicts nothing, or weights that cannot be had.
        UsageError: a fit or size that the model does not take, or a precision or runtime that there is not,
            or not together, or not on this device; names or labels that are not for this model.
    """
    device = torch.device(device)
    check_computed(precision, runtime, device.type)
    asked = _Asked(embedding, embedding_only, names, labels, min_score)
    model = _load(name, weights, device, _type_on(device, precision), asked)
    model.weights = _origin(name, weights)
    model.cells = cells
    model.use(fit, size)
    if isinstance(model, PlainModel) and size is not None:
        _try(model)
    if device.type == "cpu" or runtime not in (AUTO, TORCH):
        own = FP32 if device.type == "cpu" else BF16
        model.compute(precision or own, runtime, on_notice, fitted_to)
    return model


def _type_on(device: torch.device, precision: str | None) -> torch.dtype:
    """What the modules are loaded in; on the CPU their precision is the business of `compute`."""
    return torch.float32 if device.type != "cuda" or precision == FP32 else torch.bfloat16


def _origin(name: str, weights: str | None) -> Weights | None:
    if name == "null":
        return None
    if weights is None:
        return "bundled" if name == DEFAULT_MODEL else "published"
    if weights == RANDOM_WEIGHTS:
        return "random"
    return "published" if weights.startswith(HUB_PREFIX) else "file"


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be predicted, as `load_model` takes it."""

    embedding: bool
    embedding_only: bool
    names: str | Path | None
    labels: str | Path | None
    min_score: float

    def __post_init__(self) -> None:
        if self.embedding_only + (self.names is not None) + (self.labels is not None) > 1:
            raise UsageError("--names, --labels and --embedding-only each say what is predicted: give one")

    def pooled_head(self, name: str, width: int, projects: bool, device: torch.device) -> PooledHead | None:
        """The head that compares or gives vectors, where that is asked for."""
        if self.labels is not None:
            vectors = LabelVectors.load(self.labels)
            vectors.check_model(self.labels, name, width)
            return ScoringHead(vectors.to(device), projects, self.embedding)
        return EmbeddingHead(projects) if self.embedding_only else None

    def named(self, name: str, detector: Detector) -> Detector:
        """The detector, with names of your own where those are given."""
        if self.labels is not None:
            raise UsageError(f"model '{name}' is a detector, which --labels cannot score; leave them out")
        if self.names is None:
            return detector
        given = read_names(self.names)
        check_count(given, self.names, name, len(detector.names))
        return replace(detector, names=given)


def _load(name: str, weights: str | None, device: torch.device, dtype: torch.dtype, asked: _Asked) -> Model:
    if name in ("null", DEFAULT_MODEL) and asked.names is not None:
        check_count([], asked.names, name, 0)
    if name == "null":
        if asked.labels is not None:
            raise UsageError("model 'null' has no embedding that --labels could score; name another")
        return NullModel(device)
    # timm takes as long to import as torch: the null model does without it.
    from pipeline.models.catalog import input_spec, plain_inputs
    from pipeline.models.detectors import DETECTORS, detecting_model
    from pipeline.models.focus import FOCUS_INPUT, decoder_flops, load_focus
    from pipeline.models.labels import imagenet_labels, projects

    if name == DEFAULT_MODEL:
        if weights is not None:
            raise ModelError(f"'{name}' brings its own weights; leave out --weights or name a timm model")
        focus = load_focus()
        backbone = focus.backbone.to(device, dtype)
        positions = Positions(backbone, focus.positions.to(device, dtype), antialias=False)
        pooled = asked.pooled_head(name, cast(int, backbone.num_features), False, device)
        if pooled is not None:
            return PackedModel(name, backbone, pooled, FOCUS_INPUT, positions=positions)
        saliency = SaliencyHead(focus.decoder.to(device, dtype), asked.embedding)
        return PackedModel(name, backbone, saliency, FOCUS_INPUT, decoder_flops, positions)
    if name in DETECTORS:
        kind = DETECTORS[name]
        torch.manual_seed(0)
        detector = asked.named(name, kind.random() if weights == RANDOM_WEIGHTS else kind.load(weights))
        wanted = (asked.min_score, asked.embedding, asked.embedding_only)
        return detecting_model(name, kind.input, detector, device, dtype, *wanted)
    module = _create(name, weights).eval().requires_grad_(False).to(device, dtype)
    reason = no_prediction(module)
    if reason is not None:
        raise ModelError(f"cannot run model '{name}': {reason}; name a classifier or a feature model")
    classes = cast(int, module.num_classes)
    given = None if asked.names is None else read_names(asked.names)
    if given is not None and asked.names is not None:
        check_count(given, asked.names, name, classes)
    projected = given is None and projects(module)
    width = classes if projected else cast(int, module.head_hidden_size)
    head = asked.pooled_head(name, width, projected, device)
    if head is None:
        vector = projected or not classes
        names = given or (None if vector else imagenet_labels(module))
        head = EmbeddingHead(projected) if vector else LabelHead(names, asked.embedding)
    if refusal(module) is not None:
        return PlainModel(name, module, head, plain_inputs(module))
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
    from pipeline.models.weights import check_name, create_from_file, create_from_hub, create_untrained

    check_name(name)
    if weights == RANDOM_WEIGHTS:
        torch.manual_seed(0)
        return create_untrained(name)
    return create_from_hub(name) if weights is None else create_from_file(name, Path(weights))
