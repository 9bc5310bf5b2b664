"""Runs batches of frames through a tokenizer and a model on one device."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from pipeline.cuda_process import avoid_plans_per_shape, take_short_turns
from pipeline.cuda_timeline import CudaTimeline, Event, with_planning
from pipeline.errors import UsageError
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models.answering import Answered, Watched
from pipeline.models.base import Model
from pipeline.models.heads import Outputs
from pipeline.models.packed import PackedModel
from pipeline.models.positions import Placed
from pipeline.reading import (
    FrameOutput,
    note_answers,
    planned_outputs,
    stateful_outputs,
    with_check,
    with_patches,
)
from pipeline.stacking import (
    Checked,
    Part,
    Planned,
    Stack,
    Stateful,
    Wanting,
    checked,
    divided,
    pixels,
    plan_of,
    stacks,
    wanting,
)
from pipeline.tokenizers import FullTokenizer, Tokenizer, TokenPlan
from pipeline.tokenizers.stateful import StatefulTokenizer

# Gives (start, end) of a batch in `time.monotonic()` seconds; waits for the end.
_Span = Callable[[], tuple[float, float]]
# Reads what came of the frames of a batch that is done.
_Read = Callable[[], Sequence[FrameOutput]]


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    """What is ready to run on a plan.

    Attributes:
        parts: frames with what plans them; a frame that is checked comes a second time, last.
        plan, images: of them, on the device.
        checked: row of the frame that is; None for none.
        wanted: what is asked for beside predictions.
        marks: on CUDA, where the upload began and the planning ended.
    """

    parts: Sequence[Planned]
    plan: TokenPlan | None
    images: Sequence[Placed]
    checked: int | None
    wanted: Wanting
    marks: tuple[Event, Event] | None


class _Prepared(NamedTuple):
    planned: _Planned | None
    stateful: Sequence[Stateful]
    checked: Checked | None
    wanted: Wanting


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
        mean, std = (
            torch.tensor(values, device=model.device).view(1, 3, 1, 1)
            for values in (model.input.mean, model.input.std)
        )
        self._scale, self._shift = 1 / (255 * std), -mean / std
        self._cuda: CudaTimeline | None = None
        if model.device.type == "cuda":
            avoid_plans_per_shape()
            take_short_turns()
            self._cuda = CudaTimeline(model.device)
        self.depth = 1 if self._cuda is None else 2

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """(B, H, W, 3) uint8 -> (B, 3, H, W) float32, normalised as the model wants it."""
        # Channels first in memory, too, or the last two take thrice the time.
        planes = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return planes.mul_(self._scale).add_(self._shift)

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

    def submit(self, frames: Sequence[Frame], tokenizer: Tokenizer | StatefulTokenizer) -> PendingBatch:
        """Starts a batch; on the CPU it is done when this returns, on CUDA it is queued.

        Args:
            frames: at least one, as the model's input makes them.
            tokenizer: one of those the model takes.
        """
        return self.submit_parts([Part(frames, tokenizer)])

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
        outputs, read = self._run(parts, self._prepare(parts))
        end = time.monotonic()
        return PendingBatch(self.model, parts, outputs, read, lambda: (start, end))

    def answer(
        self, parts: Sequence[Stateful], checked: Frame | None = None, wants_values: bool = False
    ) -> list[Answered]:
        """What `plan` and `PackedModel.encode` are for plans, for the frames of stateful tokenizers.

        Args:
            parts: of the batch.
            checked: a frame of them whose rest is computed, too.
            wants_values: whether `Answered.values` are to be there.
        """
        model = self.model
        assert isinstance(model, PackedModel), f"{model.name} has nothing to recall"
        stacked = stacks(parts, model.patch_size)
        watched = []
        for some, stack in zip(pixels(stacked, model.device), stacked, strict=True):
            assert stack.place is not None
            images = iter(zip(stack.frames, self.normalise(some), strict=True))
            for tokenizer, count in stack.planners:
                watched += [
                    Watched(frame, tokenizer, image, stack.place, frame is checked, wants_values)
                    for frame, image in islice(images, count)
                ]
        return model.recall(watched)

    def _prepare(self, parts: Sequence[Part]) -> _Prepared:
        """What can be done beside the batch before this one; what looks at outputs has to wait."""
        planned, stateful = divided(parts)
        wanted = wanting(parts)
        found = None if self.model.patch_size is None else checked(parts)
        if not planned:
            return _Prepared(None, stateful, found, wanted)
        row = None if found is None else found.row
        if row is not None:
            assert found is not None
            assert found.other is not None
            planned.append(([found.frame], found.other))
        plan, images, marks = self._uploaded(planned)
        ready = _Planned(planned, plan, images, row, wanted, marks)
        return _Prepared(ready, stateful, found, wanted)

    def _run(self, parts: Sequence[Part], prepared: _Prepared) -> tuple[Outputs, _Read]:
        """Runs a batch of both kinds of tokenizers; gives outputs of those that have plans, and reads all."""
        planned, stateful, found, wanted = prepared
        frame = None if found is None else found.frame
        if planned is None:
            return {}, self._run_stateful(stateful, frame, wanted)
        outputs, read_planned = self._run_planned(planned)
        if not stateful:
            return outputs, read_planned
        read_stateful = self._run_stateful(stateful, frame, wanted)

        def read() -> list[FrameOutput]:
            of_plans, of_states = iter(read_planned()), iter(read_stateful())
            return [
                next(of_states if isinstance(tokenizer, StatefulTokenizer) else of_plans)
                for frames, tokenizer, *_ in parts
                for _ in frames
            ]

        return outputs, read

    def _run_planned(self, planned: _Planned) -> tuple[Outputs, _Read]:
        model, rows, patches, values = self.model, planned.wanted.planned, None, None
        if planned.checked is None and not rows:
            computed, trail = model.run(planned.images, planned.plan)
        else:
            assert isinstance(model, PackedModel)
            assert planned.plan is not None
            features = model.encode(planned.images, planned.plan, planned.wanted.values)
            computed, trail = model.read(features), features.trail
            if planned.checked is not None:
                computed = computed | {"summary": model.summary(features)}
            if rows:
                patches = self._to_host(model.patches(features, rows))
            if rows and planned.wanted.values:
                values = self._to_host(model.values(features, rows))
        outputs = {key: self._to_host(value) for key, value in computed.items()}
        group = None if trail is None else self._to_host(trail.plan.group)

        def read() -> list[FrameOutput]:
            answers = planned_outputs(model, planned.parts, outputs, trail, group)
            if patches is not None:
                answers = with_patches(answers, rows, patches, values)
            if planned.checked is None:
                return answers
            return with_check(answers, planned.checked, outputs["summary"].float().numpy())

        return outputs, read

    def _run_stateful(self, parts: Sequence[Stateful], checked: Frame | None, wanted: Wanting) -> _Read:
        answers, model = self.answer(parts, checked, wanted.values), self.model
        assert isinstance(model, PackedModel)
        frames = [frame for some, _ in parts for frame in some]
        try:
            # What a check found comes right behind the answer that it is about, as it was computed.
            pairs = [
                (frame, one)
                for frame, answer in zip(frames, answers, strict=True)
                for one in (answer, answer.check)
                if one is not None
            ]
            features = model.recalled([answer for _, answer in pairs])
            computed = {} if features is None else model.read(features)
            outputs = {key: self._to_host(value) for key, value in computed.items()}
            said = note_answers(model, pairs, outputs)
            # A check is what frames held from here on have.
            asked = [answer for row in wanted.stateful for answer in (answers[row], answers[row].check)]
            for answer in asked:
                if answer is not None and answer.tokens is not None:
                    patches = self._to_host(model.answered_patches(answer))
                    values = self._to_host(model.answered_values(answer)) if wanted.values else None
                    said[answer].take_patches(answer.place.grid, patches, values)
        except BaseException:
            # What they remember was never said.
            for _, tokenizer in parts:
                tokenizer.forget()
            raise
        versions = [tokenizer.vocab_version for some, tokenizer in parts for _ in some]
        return partial(stateful_outputs, model, answers, said, versions)

    def plan(self, stacked: Sequence[Stack[Tokenizer]]) -> tuple[TokenPlan | None, list[Placed]]:
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
        plan = TokenPlan.join(
            [
                plan_of(some, stack, patch_size, model.prefix)
                for (some, _), stack in zip(images, stacked, strict=True)
            ]
        )
        plan.fetch()
        return plan, images

    def _uploaded(
        self, parts: Sequence[Planned]
    ) -> tuple[TokenPlan | None, list[Placed], tuple[Event, Event] | None]:
        """`plan`; on CUDA beside what is computed meanwhile, and marked."""
        stacked, cuda = stacks(parts, self.model.patch_size), self._cuda
        if cuda is None:
            return *self.plan(stacked), None
        with torch.cuda.stream(cuda.upload):
            began = cuda.mark()
            plan, images = self.plan(stacked)
            ended = cuda.mark()
        compute = torch.cuda.current_stream(self.model.device)
        compute.wait_stream(cuda.upload)
        for tensor in (*(some for some, _ in images), *((plan.group, plan.kept) if plan is not None else ())):
            tensor.record_stream(compute)
        return plan, images, (began, ended)

    def _submit_cuda(self, parts: Sequence[Part], cuda: CudaTimeline) -> PendingBatch:
        anchor = cuda.anchor()
        prepared = self._prepare(parts)
        start = cuda.mark()
        outputs, read = self._run(parts, prepared)
        end = cuda.mark()
        marks = None if prepared.planned is None else prepared.planned.marks

        def span() -> tuple[float, float]:
            # The end comes last on the device, so waiting for it makes every host copy whole.
            ran = anchor.seconds(start), anchor.seconds(end)
            planned = None if marks is None else (anchor.seconds(marks[0]), anchor.seconds(marks[1]))
            return with_planning(planned, ran)

        return PendingBatch(self.model, parts, outputs, read, span)

    def _to_host(self, values: torch.Tensor) -> torch.Tensor:
        """On CUDA queues a copy into pinned memory, whole once the stream has come that far."""
        if self._cuda is None:
            return values
        return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


class PendingBatch:
    """A batch under way; `result` waits for it. Made by `Engine.submit` and `Engine.submit_parts`.

    Attributes:
        model: that runs it.
        parts: of the batch.
        frames: of all parts, in order.
        outputs: of the model, one row per frame that has a plan; on CUDA whole once `result` has returned.
    """

    def __init__(
        self, model: Model, parts: Sequence[Part], outputs: Outputs, read: _Read, span: _Span
    ) -> None:
        self.parts = parts
        self.frames = [frame for frames, *_ in parts for frame in frames]
        self.model = model
        self.outputs = outputs
        self._read = read
        self._span = span

    def result(self) -> BatchOutput:
        """The outputs, one per frame in order."""
        start, end = self._span()
        return BatchOutput(self._read(), start, end)
