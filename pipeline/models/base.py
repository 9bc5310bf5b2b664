"""What the engine asks of a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from pipeline.fit import Inputs, Size
from pipeline.frame import Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.heads import Arrays, Outputs
from pipeline.models.positions import Placed
from pipeline.models.runtimes.base import OnNotice
from pipeline.models.runtimes.torch_runtime import computed_in
from pipeline.models.stepping import Trail
from pipeline.results import Answers, Prediction, Weights
from pipeline.runtimes import Computed
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import taken_with


class Model(ABC):
    """A model the engine can run.

    Attributes:
        name: what results call it.
        input: what its input looks like.
        inputs: all that it takes.
        tokenizers: names of the tokenizers it takes.
        patch_size: side of a patch in pixels; None where the model has no patches.
        prefix: prefix tokens (CLS, registers).
        device, dtype: where it runs, and of which type its input is.
        computed: runtime and precision.
        needs_pixels: False for a model that never looks at its input.
        cells: whether predictions hold `Prediction.cells`; for models with patches.
        answers: what its predictions are of.
        weights: where they are from; None where there are none.
    """

    name: str
    input: InputSpec
    inputs: Inputs
    tokenizers: tuple[str, ...] = taken_with(())
    patch_size: int | None = None
    prefix: int = 0
    device: torch.device
    dtype: torch.dtype
    needs_pixels: bool = True
    cells: bool = False
    answers: Answers
    weights: Weights | None = None

    def use(self, fit: str | None, size: Size | None) -> None:
        """Chooses the input that is taken from now on; see `Inputs.spec`."""
        self.input = self.inputs.spec(self.name, fit, size)

    @property
    def computed(self) -> Computed:
        """Of the frames to come, as far as it is known."""
        return computed_in(self.dtype)

    def compute(  # noqa: B027
        self, precision: str, runtime: str, on_notice: OnNotice, fitted_to: str
    ) -> None:
        """Says how it is computed: once, before anything runs. By default there is nothing to say.

        Args:
            precision, runtime: of `pipeline.runtimes`, or `auto`.
            on_notice: told once what was chosen where that was left open, or what cannot be had.
            fitted_to: see `load_model`.
        """

    def prepare(self, frames: int) -> None:  # noqa: B027
        """Makes what it can before the first frames, in the thread that will run them; by default nothing.

        Args:
            frames: that a batch has at most.
        """

    @property
    def frames_wanted(self) -> int:
        """How many frames it still has to see before it decides on its runtime."""
        return 0

    def calibrate(self, images: Sequence[Placed]) -> None:  # noqa: B027
        """Decides on its runtime now, on these frames rather than on the first that it runs on.

        Args:
            images: as for `run`.
        """

    @abstractmethod
    def run(self, images: Sequence[Placed], plan: TokenPlan | None) -> tuple[Outputs, Trail | None]:
        """Runs on the device.

        Args:
            images: float32, normalised, B in all; those of one size side by side.
            plan: from a tokenizer; None for models without patches.

        Returns:
            Tensors of B rows each, and what became of the patches; None for models without.
        """

    @abstractmethod
    def prediction(self, arrays: Arrays, row: int, geometry: Geometry) -> Prediction:
        """Reads one frame's row of the outputs, on the host."""

    def flops(
        self,
        kept: int | Sequence[int] | None,  # noqa: ARG002
        grid: tuple[int, int] | None = None,  # noqa: ARG002
    ) -> int:
        """Floating-point operations for a frame; 1 where all frames cost alike.

        Args:
            kept: patch tokens that run through every block, or through each of them; None for all patches.
            grid: patches (rows, columns) of the frame; None for those of the whole input.
        """
        return 1
