"""Runs batches of frames through a tokenizer and a model on one device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pipeline.cuda_timeline import CudaTimeline
from pipeline.frame import Frame
from pipeline.models.base import Model
from pipeline.models.heads import Outputs
from pipeline.results import Prediction
from pipeline.tokenizers import Tokenizer, TokenPlan, patch_states

# Gives (start, end) of a batch in `time.monotonic()` seconds; waits for the end.
_Span = Callable[[], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What inference says of one frame.

    Attributes:
        prediction: of the model.
        tokens_full, tokens_kept: patch tokens before and after tokenizing; None for models without patches.
        states: (rows, columns) uint8, INTACT, MERGED or DROPPED per patch; None for models without patches.
        flops: operations the frame cost, planning included.
    """

    prediction: Prediction
    tokens_full: int | None
    tokens_kept: int | None
    states: npt.NDArray[np.uint8] | None
    flops: int


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """The outputs of a batch, and when (`time.monotonic()` seconds) the device worked on it."""

    frames: Sequence[FrameOutput]
    start_s: float
    end_s: float


class Engine:
    """Tokenizes and predicts. On CUDA a batch is uploaded and planned while the one before it computes.

    Args:
        model: what to run; decides the device.

    Attributes:
        depth: how many batches are worth having under way at once.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._mean, self._std = (
            torch.tensor(values, device=model.device).view(1, 3, 1, 1)
            for values in (model.input.mean, model.input.std)
        )
        self._cuda = CudaTimeline(model.device) if model.device.type == "cuda" else None
        self.depth = 1 if self._cuda is None else 2

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised as the model wants it."""
        return images.permute(0, 3, 1, 2).to(torch.float32).div_(255).sub_(self._mean).div_(self._std)

    @torch.inference_mode()
    def submit(self, frames: Sequence[Frame], tokenizer: Tokenizer) -> PendingBatch:
        """Starts a batch; on the CPU it is done when this returns, on CUDA it is queued.

        Args:
            frames: at least one, of the model's input size.
            tokenizer: one of those the model takes.
        """
        if self._cuda is not None:
            with torch.cuda.device(self.model.device):
                return self._submit_cuda(frames, tokenizer, self._cuda)
        start = time.monotonic()
        images = torch.from_numpy(np.stack([frame.image for frame in frames]))
        plan, normalised = self._plan(images, tokenizer)
        outputs = self.model.run(normalised, plan)
        end = time.monotonic()
        group = None if plan is None else plan.group
        return PendingBatch(self.model, frames, tokenizer, plan, group, outputs, lambda: (start, end))

    def _plan(self, images: torch.Tensor, tokenizer: Tokenizer) -> tuple[TokenPlan | None, torch.Tensor]:
        model = self.model
        if not model.needs_pixels:
            return None, images
        normalised = self.normalise(images)
        if model.patch_size is None:
            return None, normalised
        return tokenizer.plan(normalised, model.patch_size, model.prefix), normalised

    def _submit_cuda(self, frames: Sequence[Frame], tokenizer: Tokenizer, cuda: CudaTimeline) -> PendingBatch:
        staged = torch.empty((len(frames), *frames[0].image.shape), dtype=torch.uint8, pin_memory=True)
        np.stack([frame.image for frame in frames], out=staged.numpy())
        group = None
        with torch.cuda.stream(cuda.upload):
            plan, images = self._plan(staged.to(self.model.device, non_blocking=True), tokenizer)
            if plan is not None:
                group = _to_host(plan.group)
        compute = torch.cuda.current_stream(self.model.device)
        compute.wait_stream(cuda.upload)
        for tensor in (images, *((plan.group, plan.kept) if plan is not None else ())):
            tensor.record_stream(compute)
        start = cuda.mark()
        outputs = {key: _to_host(value) for key, value in self.model.run(images, plan).items()}
        end = cuda.mark()
        # The end comes last on the device, so waiting for it makes every host copy whole.
        return PendingBatch(
            self.model,
            frames,
            tokenizer,
            plan,
            group,
            outputs,
            lambda: (cuda.seconds(start), cuda.seconds(end)),
        )


class PendingBatch:
    """A batch under way; `result` waits for it. Made by `Engine.submit`.

    Attributes:
        model: that runs it.
        frames: of the batch.
        tokenizer: that planned it.
        outputs: of the model, one row per frame; on CUDA whole only once `result` has returned.
    """

    def __init__(
        self,
        model: Model,
        frames: Sequence[Frame],
        tokenizer: Tokenizer,
        plan: TokenPlan | None,
        group: torch.Tensor | None,
        outputs: Outputs,
        span: _Span,
    ) -> None:
        self.frames = frames
        self.tokenizer = tokenizer
        self.model = model
        self._plan = plan
        self._group = group
        self.outputs = outputs
        self._span = span

    def result(self) -> BatchOutput:
        """The outputs, one per frame in order."""
        start, end = self._span()
        arrays = {key: value.float().numpy() for key, value in self.outputs.items()}
        predictions = [
            self.model.prediction(arrays, row, frame.geometry) for row, frame in enumerate(self.frames)
        ]
        if self._plan is None or self._group is None:
            cost = self.model.flops(None)
            return BatchOutput([FrameOutput(p, None, None, None, cost) for p in predictions], start, end)
        model, patches = self.model, self._group.shape[1]
        assert model.grid is not None
        assert model.patch_size is not None
        states = patch_states(self._group).reshape(-1, *model.grid)
        planning = self.tokenizer.flops(patches, model.patch_size)
        outputs = [
            FrameOutput(prediction, patches, kept, state, model.flops(kept) + planning)
            for prediction, kept, state in zip(predictions, self._plan.kept_list(), states, strict=True)
        ]
        return BatchOutput(outputs, start, end)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Queues a copy into pinned memory; whole once the stream has come that far."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
