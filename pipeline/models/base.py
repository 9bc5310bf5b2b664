"""What the engine asks of a model, and the three kinds there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from pipeline.frame import Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.encoder import PackedEncoder
from pipeline.models.flops import EncoderFlops
from pipeline.models.heads import Arrays, Head, Outputs, read_embedding, read_labels, top_labels
from pipeline.models.runtimes.base import OnNotice
from pipeline.models.runtimes.calibration import Calibration
from pipeline.models.runtimes.choose import choose, said
from pipeline.models.runtimes.torch_runtime import computed_in, cpu_has_bf16
from pipeline.models.stepping import Trail
from pipeline.results import Prediction
from pipeline.runtimes import AUTO, BF16, FP32, NOT_COMPUTED, Computed
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS


class Model(ABC):
    """A model the engine can run.

    Attributes:
        name: what results call it.
        input: what its input looks like.
        tokenizers: names of the tokenizers it takes.
        patch_size: side of a patch in pixels; None where the model has no patches.
        grid: patches (rows, columns) of a frame; None where the model has no patches.
        prefix: prefix tokens (CLS, registers).
        device, dtype: where it runs, and of which type its input is.
        computed: runtime and precision.
        needs_pixels: False for a model that never looks at its input.
    """

    name: str
    input: InputSpec
    tokenizers: tuple[str, ...] = ("full",)
    patch_size: int | None = None
    grid: tuple[int, int] | None = None
    prefix: int = 0
    device: torch.device
    dtype: torch.dtype
    needs_pixels: bool = True

    @property
    def computed(self) -> Computed:
        """Of the frames to come, as far as it is known."""
        return computed_in(self.dtype)

    def compute(self, precision: str, runtime: str, on_notice: OnNotice) -> None:  # noqa: B027
        """Says how it is computed on the CPU: once, before anything runs. By default there is nothing to say.

        Args:
            precision, runtime: of `pipeline.runtimes`, or `auto`.
            on_notice: told once what was chosen where that was left open, or what cannot be had.
        """

    @property
    def frames_wanted(self) -> int:
        """How many frames it still has to see before it decides on its runtime."""
        return 0

    def calibrate(self, images: torch.Tensor) -> None:  # noqa: B027
        """Decides on its runtime now, on these frames rather than on the first that it runs on.

        Args:
            images: (B, 3, H, W) float32, normalised.
        """

    @abstractmethod
    def run(self, images: torch.Tensor, plan: TokenPlan | None) -> tuple[Outputs, Trail | None]:
        """Runs on the device.

        Args:
            images: (B, 3, H, W) float32, normalised.
            plan: from a tokenizer; None for models without patches.

        Returns:
            Tensors of B rows each, and what became of the patches; None for models without.
        """

    @abstractmethod
    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """Reads one frame's row of the outputs, on the host."""

    def flops(self, kept: int | Sequence[int] | None) -> int:  # noqa: ARG002
        """Floating-point operations for a frame; 1 where all frames cost alike.

        Args:
            kept: patch tokens that run through every block, or through each of them.
        """
        return 1


class PackedModel(Model):
    """A Vision Transformer that runs on packed tokens, with a head.

    Args:
        name: what results call it.
        backbone: a timm model, in eval mode, for which `refusal.refusal` has no objection.
        head: what becomes of its features.
        spec: its input.
        head_flops: operations of the head per frame.
    """

    tokenizers = tuple(TOKENIZERS)

    def __init__(
        self, name: str, backbone: nn.Module, head: Head, spec: InputSpec, head_flops: int = 0
    ) -> None:
        parameter = next(backbone.parameters())
        self.name = name
        self.input = spec
        self.device, self.dtype = parameter.device, parameter.dtype
        self.encoder = PackedEncoder(backbone)
        self.patch_size = self.encoder.patch_size
        self.grid = self.encoder.grid
        self.prefix = self.encoder.prefix
        self._head = head
        self._encoder_flops = EncoderFlops(backbone)
        self._head_flops = head_flops
        self._calibration: Calibration | None = None
        self._on_notice: OnNotice | None = None

    @property
    def computed(self) -> Computed:
        """See `Model.computed`."""
        return self.encoder.runtime.computed

    def compute(self, precision: str, runtime: str, on_notice: OnNotice) -> None:
        """See `Model.compute`; `auto` and int8 look at the first frames."""
        self._on_notice = on_notice
        self._calibration = choose(self.encoder, precision, runtime, on_notice)

    @property
    def frames_wanted(self) -> int:
        """See `Model.frames_wanted`."""
        return 0 if self._calibration is None else self._calibration.wanted

    def calibrate(self, images: torch.Tensor) -> None:
        """See `Model.calibrate`."""
        if self._calibration is not None:
            self._calibration.decide([images.to(self.dtype)])
            self._calibration = None

    def run(self, images: torch.Tensor, plan: TokenPlan | None) -> tuple[Outputs, Trail | None]:
        """See `Model.run`; a plan is required."""
        assert plan is not None, "a packed model runs on a plan"
        images = images.to(self.dtype)
        if self._calibration is not None:
            self._calibration.add(images)
            if not self._calibration.wanted:
                self._calibration = None
        if plan.steps:
            self._say_stepwise()
        features = self.encoder.encode(images, plan)
        return self._head.outputs(self.encoder, features), features.trail

    def _say_stepwise(self) -> None:
        """Says once that plans with steps between the blocks are computed elsewhere, where they are."""
        runtime = self.encoder.runtime
        if self._on_notice is None or self.frames_wanted or runtime.stepwise is runtime:
            return
        self._on_notice(
            f"steps between the blocks do not run in {said(runtime.computed)}: "
            f"computing frames with such in {said(runtime.stepwise.computed)}"
        )
        self._on_notice = None

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """See `Model.prediction`."""
        return self._head.prediction(arrays, row, geometry)

    def flops(self, kept: int | Sequence[int] | None) -> int:
        """See `Model.flops`; all patches when `kept` is None."""
        assert self.grid is not None
        patches = self.grid[0] * self.grid[1]
        return self._encoder_flops(patches if kept is None else kept) + self._head_flops


class PlainModel(Model):
    """Any other timm model: runs in full, unpacked."""

    def __init__(
        self,
        name: str,
        module: nn.Module,
        names: Sequence[str] | None,
        spec: InputSpec,
        embedding: bool,
        embedding_only: bool = False,
    ) -> None:
        parameter = next(module.parameters())
        self.name = name
        self.input = spec
        self.device, self.dtype = parameter.device, parameter.dtype
        self._module = cast(Any, module)
        self._names = names
        self._classifies: bool = self._module.num_classes > 0 and not embedding_only
        self._embedding = embedding

    def compute(self, precision: str, runtime: str, on_notice: OnNotice) -> None:
        """See `Model.compute`: in torch only, and `auto` is float32."""
        bf16 = precision == BF16 and cpu_has_bf16()
        if bf16:
            self._module.to(torch.bfloat16)
            self.dtype = torch.bfloat16
        if runtime not in (AUTO, "torch") or (precision not in (AUTO, FP32) and not bf16):
            wish = f"{precision} in {runtime}"
            on_notice(f"{self.name} cannot be had in {wish} here: computing in {said(self.computed)}")

    def run(
        self,
        images: torch.Tensor,
        plan: TokenPlan | None,  # noqa: ARG002
    ) -> tuple[Outputs, Trail | None]:
        """See `Model.run`."""
        features = self._module.forward_features(images.to(self.dtype))
        outputs = top_labels(self._module.forward_head(features)) if self._classifies else {}
        if self._embedding or not self._classifies:
            outputs["embedding"] = self._module.forward_head(features, pre_logits=True)
        return outputs, None

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """See `Model.prediction`."""
        if self._classifies:
            return read_labels(arrays, row, self._names)
        return Prediction("embedding", embedding=read_embedding(arrays, row))


class NullModel(Model):
    """Does nothing: what is left is the cost of everything around a model."""

    name = "null"
    needs_pixels = False

    def __init__(self, device: torch.device, spec: InputSpec | None = None) -> None:
        self.input = spec or InputSpec(224, 224)
        self.device, self.dtype = device, torch.float32

    @property
    def computed(self) -> Computed:
        """Nothing."""
        return NOT_COMPUTED

    def run(
        self,
        images: torch.Tensor,  # noqa: ARG002
        plan: TokenPlan | None,  # noqa: ARG002
    ) -> tuple[Outputs, Trail | None]:
        """Nothing to run."""
        return {}, None

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """An empty prediction of kind "none"."""
        return Prediction("none")
