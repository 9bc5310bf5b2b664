"""Models without tokens of ours: any other of timm, and one that does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from pipeline.fit import Inputs
from pipeline.frame import Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.base import Model
from pipeline.models.heads import Arrays, Outputs, PooledHead
from pipeline.models.positions import Placed
from pipeline.models.runtimes.base import OnNotice
from pipeline.models.runtimes.choose import said
from pipeline.models.runtimes.torch_runtime import cpu_has_bf16
from pipeline.models.stepping import Trail
from pipeline.results import Answers, Prediction
from pipeline.runtimes import AUTO, BF16, FP32, NOT_COMPUTED, Computed
from pipeline.tokenizers.plan import TokenPlan


class PlainModel(Model):
    """Any other timm model: runs in full, unpacked.

    Args:
        name: what results call it.
        module: a timm model, in eval mode.
        head: what becomes of its features.
        inputs: what it takes.
    """

    def __init__(self, name: str, module: nn.Module, head: PooledHead, inputs: Inputs) -> None:
        parameter = next(module.parameters())
        self.name = name
        self.inputs = inputs
        self.use(None, None)
        self.device, self.dtype = parameter.device, parameter.dtype
        self._module = cast(Any, module)
        self._head = head
        self.answers = head.answers

    def compute(
        self,
        precision: str,
        runtime: str,
        on_notice: OnNotice,
        fitted_to: str,  # noqa: ARG002
    ) -> None:
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
        images: Sequence[Placed],
        plan: TokenPlan | None,  # noqa: ARG002
    ) -> tuple[Outputs, Trail | None]:
        """See `Model.run`."""
        parts = [self._outputs(some) for some, _ in images]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}, None

    def head(self, features: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """See `pipeline.models.heads.Pooling`."""
        return self._module.forward_head(features, pre_logits=pre_logits)

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """See `Model.prediction`."""
        return self._head.prediction(arrays, row, geometry)

    def _outputs(self, images: torch.Tensor) -> Outputs:
        return self._head.outputs(self, self._module.forward_features(images.to(self.dtype)))


class NullModel(Model):
    """Does nothing: what is left is the cost of everything around a model."""

    name = "null"
    needs_pixels = False
    answers = Answers("none")

    def __init__(self, device: torch.device, spec: InputSpec | None = None) -> None:
        self.inputs = Inputs(spec or InputSpec(224, 224))
        self.use(None, None)
        self.device, self.dtype = device, torch.float32

    @property
    def computed(self) -> Computed:
        """Nothing."""
        return NOT_COMPUTED

    def run(
        self,
        images: Sequence[Placed],  # noqa: ARG002
        plan: TokenPlan | None,  # noqa: ARG002
    ) -> tuple[Outputs, Trail | None]:
        """Nothing to run."""
        return {}, None

    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:  # noqa: ARG002
        """An empty prediction of kind "none"."""
        return Prediction("none")
