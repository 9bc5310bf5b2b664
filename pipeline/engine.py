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
from pipeline.models.stepping import Trail
from pipeline.results import Prediction
from pipeline.runtimes import NOT_COMPUTED, Computed
from pipeline.tokenizers import FullTokenizer, Tokenizer, TokenPlan, patch_states

# Frames of one stream, and what plans them.
Part = tuple[Sequence[Frame], Tokenizer]
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
        computed: by which runtime, in which precision.
        vocab_version: of the words that planned it; None where it was planned without.
    """

    prediction: Prediction
    tokens_full: int | None
    tokens_kept: int | None
    states: npt.NDArray[np.uint8] | None
    flops: int
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
            images: (B, H, W, 3) uint8 RGB, of the model's input size.
            tokenizer: None to keep every patch.

        Returns:
            What the model gives, a row per image (`probability` and `index`, `embedding`, or `saliency`), and
            for models with patches `tokens_kept`, (B,) int64.

        Raises:
            UsageError: the images are not of that size and type.
        """
        height, width = self.model.input.height, self.model.input.width
        if images.dtype != np.uint8 or images.shape != (len(images), height, width, 3) or not len(images):
            raise UsageError(
                f"images are {images.dtype} {images.shape}: give uint8 (B, {height}, {width}, 3) "
                f"for model '{self.model.name}'"
            )
        geometry = Geometry(width, height, width, height, 1.0, 1.0, 0.0, 0.0)
        frames = [Frame(FrameTimes(pts_s=None), image, geometry) for image in images]
        pending = self.submit(frames, tokenizer or FullTokenizer())
        kept = [output.tokens_kept for output in pending.result().frames]
        arrays = {name: values.float().numpy() for name, values in pending.outputs.items()}
        return arrays if None in kept else arrays | {"tokens_kept": np.asarray(kept)}

    def submit(self, frames: Sequence[Frame], tokenizer: Tokenizer) -> PendingBatch:
        """Starts a batch; on the CPU it is done when this returns, on CUDA it is queued.

        Args:
            frames: at least one, of the model's input size.
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
        images = torch.from_numpy(np.stack([frame.image for frames, _ in parts for frame in frames]))
        plan, normalised = self._plan(images, parts)
        outputs, trail = self.model.run(normalised, plan)
        end = time.monotonic()
        group = None if trail is None else trail.plan.group
        return PendingBatch(self.model, parts, trail, group, outputs, lambda: (start, end))

    def _plan(self, images: torch.Tensor, parts: Sequence[Part]) -> tuple[TokenPlan | None, torch.Tensor]:
        model, patch_size = self.model, self.model.patch_size
        if not model.needs_pixels:
            return None, images
        normalised = self.normalise(images)
        if patch_size is None:
            return None, normalised
        pixels = normalised.split([len(frames) for frames, _ in parts])
        plans = [
            tokenizer.plan(some, patch_size, model.prefix)
            for some, (_, tokenizer) in zip(pixels, parts, strict=True)
        ]
        return TokenPlan.join(plans), normalised

    def _submit_cuda(self, parts: Sequence[Part], cuda: CudaTimeline) -> PendingBatch:
        images = [frame.image for frames, _ in parts for frame in frames]
        staged = torch.empty((len(images), *images[0].shape), dtype=torch.uint8, pin_memory=True)
        np.stack(images, out=staged.numpy())
        with torch.cuda.stream(cuda.upload):
            plan, pixels = self._plan(staged.to(self.model.device, non_blocking=True), parts)
        compute = torch.cuda.current_stream(self.model.device)
        compute.wait_stream(cuda.upload)
        for tensor in (pixels, *((plan.group, plan.kept) if plan is not None else ())):
            tensor.record_stream(compute)
        start = cuda.mark()
        computed, trail = self.model.run(pixels, plan)
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
                FrameOutput(prediction, None, None, None, cost, self.model.computed, tokenizer.vocab_version)
                for prediction, tokenizer in zip(predictions, tokenizers, strict=True)
            ]
            return BatchOutput(plain, start, end)
        model, trail, patches = self.model, self._trail, self._group.shape[1]
        assert model.grid is not None
        assert model.patch_size is not None
        states = patch_states(self._group).reshape(-1, *model.grid)
        outputs = [
            FrameOutput(
                prediction,
                patches,
                trail.kept[0][row],
                state,
                model.flops(trail.kept_by(row))
                + trail.step_flops[row]
                + tokenizer.flops(patches, model.patch_size),
                trail.computed,
                tokenizer.vocab_version,
            )
            for row, (prediction, state, tokenizer) in enumerate(
                zip(predictions, states, tokenizers, strict=True)
            )
        ]
        return BatchOutput(outputs, start, end)


def _to_host(values: torch.Tensor) -> torch.Tensor:
    """Queues a copy into pinned memory; whole once the stream has come that far."""
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)
