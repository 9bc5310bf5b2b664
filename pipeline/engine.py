"""Runs batches of frames through a tokenizer and a model on one device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.cuda_timeline import CudaTimeline
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models.base import Model
from pipeline.models.heads import Outputs
from pipeline.models.positions import Placed
from pipeline.models.stepping import Trail
from pipeline.results import Prediction
from pipeline.runtimes import NOT_COMPUTED, Computed
from pipeline.stacking import Part, Stack, pixels, stacks
from pipeline.tokenizers import FullTokenizer, Tokenizer, TokenPlan, patch_states

# Gives (start, end) of a batch in `time.monotonic()` seconds; waits for the end.
_Span = Callable[[], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What inference says of one frame.

    Attributes:
        prediction: of the model.
        tokens_full, tokens_kept: patch tokens before and after tokenizing; None for models without patches.
        states: (rows, columns) uint8, INTACT, MERGED or DROPPED per patch; None for models without patches.
        flops: operations the frame cost, planning and steps between blocks included.
        share: the same over those of the plain model; None for models without patches.
        computed: by which runtime, in which precision.
        vocab_version: of the words that planned it; None where it was planned without.
    """

    prediction: Prediction
    tokens_full: int | None
    tokens_kept: int | None
    states: npt.NDArray[np.uint8] | None
    flops: int
    share: float | None = None
    computed: Computed = NOT_COMPUTED
    vocab_version: int | None = None


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

    def run(
        self, images: npt.NDArray[np.uint8], tokenizer: Tokenizer | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Arrays in, arrays out: one batch, without streams, times or energy.

        Args:
            images: (B, H, W, 3) uint8 RGB, of the model's input size; smaller ones, in whole patches, where
                its pictures keep their aspect.
            tokenizer: None to keep every patch.

        Returns:
            What the model gives, a row per image (`probability` and `index`, `embedding`, or `saliency`), and
            for models with patches `tokens_kept`, (B,) int64.

        Raises:
            UsageError: the images are not of that size and type.
        """
        spec = self.model.input
        right = images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3 and len(images) > 0
        if not right or not spec.holds(images.shape[2], images.shape[1]):
            raise UsageError(
                f"images are {images.dtype} {images.shape}: give uint8 (B, {spec.height}, {spec.width}, 3)"
                f"{spec.or_less} for model '{self.model.name}'"
            )
        height, width = images.shape[1:3]
        geometry = Geometry(width, height, width, height, 1.0, 1.0, 0.0, 0.0)
        frames = [Frame(FrameTimes(pts_s=None), image, geometry) for image in images]
        pending = self.submit(frames, tokenizer or FullTokenizer())
        kept = [output.tokens_kept for output in pending.result().frames]
        arrays = {name: values.float().numpy() for name, values in pending.outputs.items()}
        return arrays if None in kept else arrays | {"tokens_kept": np.asarray(kept)}

    def submit(self, frames: Sequence[Frame], tokenizer: Tokenizer) -> PendingBatch:
        """Starts a batch; on the CPU it is done when this returns, on CUDA it is queued.

        Args:
            frames: at least one, as the model's input makes them.
            tokenizer: one of those the model takes.
        """
        return self.submit_parts([(frames, tokenizer)])

    @torch.inference_mode()
    def submit_parts(self, parts: Sequence[Part]) -> PendingBatch:
        """Starts one batch of the frames of several streams, each with its own tokenizer; see `submit`.

        Args:
            parts: at least one; the frames run in this order.
        """
        if self._cuda is not None:
            with torch.cuda.device(self.model.device):
                return self._submit_cuda(parts, self._cuda)
        start = time.monotonic()
        plan, images = self.plan(stacks(parts, self.model.patch_size))
        outputs, trail = self.model.run(images, plan)
        end = time.monotonic()
        group = None if trail is None else trail.plan.group
        return PendingBatch(self.model, parts, trail, group, outputs, lambda: (start, end))

    def plan(self, stacked: Sequence[Stack]) -> tuple[TokenPlan | None, list[Placed]]:
        """What a model runs on: the plan of a batch, and its frames normalised; see `Model.run`."""
        model, patch_size = self.model, self.model.patch_size
        if not model.needs_pixels:
            return None, []
        images = [
            Placed(self.normalise(some), stack.place)
            for some, stack in zip(pixels(stacked, model.device), stacked, strict=True)
        ]
        if patch_size is None:
            return None, images
        plans = [
            tokenizer.plan(own, patch_size, model.prefix)
            for (some, _), stack in zip(images, stacked, strict=True)
            for own, (tokenizer, _) in zip(
                some.split([count for _, count in stack.planners]), stack.planners, strict=True
            )
        ]
        return TokenPlan.join(plans), images

    def _submit_cuda(self, parts: Sequence[Part], cuda: CudaTimeline) -> PendingBatch:
        stacked = stacks(parts, self.model.patch_size)
        with torch.cuda.stream(cuda.upload):
            plan, images = self.plan(stacked)
        compute = torch.cuda.current_stream(self.model.device)
        compute.wait_stream(cuda.upload)
        for tensor in (*(some for some, _ in images), *((plan.group, plan.kept) if plan is not None else ())):
            tensor.record_stream(compute)
        start = cuda.mark()
        computed, trail = self.model.run(images, plan)
        outputs = {key: _to_host(value) for key, value in computed.items()}
        group = None if trail is None else _to_host(trail.plan.group)
        end = cuda.mark()
        # The end comes last on the device, so waiting for it makes every host copy whole.
        return PendingBatch(
            self.model, parts, trail, group, outputs, lambda: (cuda.seconds(start), cuda.seconds(end))
        )


class PendingBatch:
    """A batch under way; `result` waits for it. Made by `Engine.submit` and `Engine.submit_parts`.

    Attributes:
        model: that runs it.
        parts: of the batch.
        frames: of all parts, in order.
        outputs: of the model, one row per frame; on CUDA whole only once `result` has returned.
    """

    def __init__(
        self,
        model: Model,
        parts: Sequence[Part],
        trail: Trail | None,
        group: torch.Tensor | None,
        outputs: Outputs,
        span: _Span,
    ) -> None:
        self.parts = parts
        self.frames = [frame for frames, _ in parts for frame in frames]
        self.model = model
        self._trail = trail
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
        tokenizers = [tokenizer for frames, tokenizer in self.parts for _ in frames]
        if self._trail is None or self._group is None:
            cost = self.model.flops(None)
            plain = [
                FrameOutput(
                    prediction, None, None, None, cost, None, self.model.computed, tokenizer.vocab_version
                )
                for prediction, tokenizer in zip(predictions, tokenizers, strict=True)
            ]
            return BatchOutput(plain, start, end)
        outputs = [
            self._output(row, frame, prediction, states, tokenizer)
            for row, (frame, prediction, states, tokenizer) in enumerate(
                zip(self.frames, predictions, patch_states(self._group), tokenizers, strict=True)
            )
        ]
        return BatchOutput(outputs, start, end)

    def _output(
        self,
        row: int,
        frame: Frame,
        prediction: Prediction,
        states: npt.NDArray[np.uint8],
        tokenizer: Tokenizer,
    ) -> FrameOutput:
        model, trail = self.model, self._trail
        assert trail is not None
        assert model.patch_size is not None
        rows, columns = (side // model.patch_size for side in frame.image.shape[:2])
        patches = rows * columns
        flops = model.flops(trail.kept_by(row), (rows, columns)) + trail.step_flops[row]
        flops += tokenizer.flops(patches, model.patch_size)
        return FrameOutput(
            prediction,
            patches,
            trail.kept[0][row],
            states[:patches].reshape(rows, columns),
            flops,
            flops / model.flops(None, (rows, columns)),
            trail.computed,
            tokenizer.vocab_version,
        )


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Queues a copy into pinned memory; whole once the stream has come that far."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
