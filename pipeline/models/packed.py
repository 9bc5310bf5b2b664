"""Vision Transformers that run on packed tokens, with a head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, normalize

from pipeline.fit import FITS, Inputs
from pipeline.frame import Geometry
from pipeline.input_spec import InputSpec
from pipeline.models.answering import Answered, Watched
from pipeline.models.base import Model
from pipeline.models.detection_tokens import DetectionTokens
from pipeline.models.encoder import Features, PackedEncoder
from pipeline.models.flops import EncoderFlops
from pipeline.models.heads import Arrays, Head, LabelHead, Outputs
from pipeline.models.positions import Place, Placed, Positions
from pipeline.models.recalling import Recaller
from pipeline.models.refusal import parts_of
from pipeline.models.runtimes.base import OnNotice, Preparing
from pipeline.models.runtimes.calibration import Calibration
from pipeline.models.runtimes.choose import choose, choose_on_gpu, said
from pipeline.models.stepping import Trail
from pipeline.results import CELLS, Prediction
from pipeline.runtimes import Computed
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import taken_with


class PackedModel(Model):
    """A Vision Transformer that runs on packed tokens, with a head.

    Args:
        name: what results call it.
        backbone: a timm model, in eval mode, for which `refusal.refusal` has no objection.
        head: what becomes of its features.
        spec: its own input.
        head_flops: operations of the head for a frame of (rows, columns) patches.
        positions: of the patches; None for those that timm would give them.
        detects: see `PackedEncoder`.
    """

    patch_size: int

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        head: Head,
        spec: InputSpec,
        head_flops: Callable[[tuple[int, int]], int] = lambda _: 0,
        positions: Positions | None = None,
        detects: DetectionTokens | None = None,
    ) -> None:
        parameter = next(backbone.parameters())
        self.name = name
        self.device, self.dtype = parameter.device, parameter.dtype
        self.encoder = PackedEncoder(backbone, positions, detects)
        self.patch_size = self.encoder.patch_size
        self.inputs = Inputs(spec, self.patch_size, FITS)
        self.use(None, None)
        self.prefix = self.encoder.prefix
        self.tokenizers = taken_with(parts_of(backbone))
        self._head = head
        self.answers = head.answers
        self._encoder_flops = EncoderFlops(backbone)
        self._head_flops = head_flops
        self._recaller = Recaller(self.encoder)
        self._calibration: Calibration | None = None
        self._on_notice: OnNotice | None = None

    @property
    def computed(self) -> Computed:
        """See `Model.computed`."""
        return self.encoder.runtime.computed

    def compute(self, precision: str, runtime: str, on_notice: OnNotice, fitted_to: str) -> None:
        """See `Model.compute`; on the CPU `auto` and int8 look at the first frames."""
        self._on_notice = on_notice
        if self.device.type == "cuda":
            choose_on_gpu(self.encoder, runtime, on_notice)
        else:
            self._calibration = choose(self.encoder, precision, runtime, on_notice, fitted_to)

    def prepare(self, frames: int) -> None:
        """See `Model.prepare`."""
        runtime = self.encoder.runtime
        if isinstance(runtime, Preparing):
            place = Place.filling(self.input.height, self.input.width, self.patch_size)
            runtime.prepare(frames, self.prefix + place.patches, self.encoder.positions.rotation(place))

    @property
    def frames_wanted(self) -> int:
        """See `Model.frames_wanted`."""
        return 0 if self._calibration is None else self._calibration.wanted

    def calibrate(self, images: Sequence[Placed]) -> None:
        """See `Model.calibrate`."""
        if self._calibration is not None:
            self._calibration.decide(self._typed(images))
            self._calibration = None

    def run(self, images: Sequence[Placed], plan: TokenPlan | None) -> tuple[Outputs, Trail | None]:
        """See `Model.run`; a plan is required."""
        assert plan is not None, "a packed model runs on a plan"
        features = self.encode(images, plan)
        return self.read(features), features.trail

    def encode(self, images: Sequence[Placed], plan: TokenPlan, wants_values: bool = False) -> Features:
        """The first half of `run`: the encoder; see `PackedEncoder.encode`."""
        typed = self._typed(images)
        self._calibrate_on(typed)
        if plan.steps or self.encoder.positions.between is not None or wants_values:
            self._say_stepwise()
        return self.encoder.encode(typed, plan, wants_values=wants_values)

    def recall(self, frames: Sequence[Watched]) -> list[Answered]:
        """What `encode` is for plans, for frames of stateful tokenizers."""
        if self._calibration is not None:
            self._calibrate_on([Placed(frame.image[None].to(self.dtype), frame.place) for frame in frames])
        self._say_stepwise()
        return self._recaller.answer(frames)

    def recalled(self, answers: Sequence[Answered]) -> Features | None:
        """Features of those answers that are not held, in their order; None where all are."""
        return self._recaller.features(answers)

    def recalled_flops(self, answer: Answered) -> int:
        """Operations of all that ran for a frame, its tokenizer's decisions included."""
        return answer.decided.flops + self.ran_flops(answer)

    def ran_flops(self, answer: Answered) -> int:
        """The same without the decisions."""
        flops = 0
        for ran in answer.runs:
            flops += self._encoder_flops.tokens(ran.kept, ran.kept[0], ran.keys) + ran.step_flops
        if answer.tokens is not None:
            flops += self._encoder_flops.head + round(answer.decoded * self._head_flops(answer.place.grid))
        return flops

    def read(self, features: Features) -> Outputs:
        """The second half of `run`: the head."""
        outputs = self._head.outputs(self.encoder, features)
        if self.cells:
            pooled = [adaptive_avg_pool2d(grid.float(), CELLS) for grid in self.encoder.patch_grids(features)]
            outputs["cells"] = torch.cat(pooled).permute(0, 2, 3, 1)
        return outputs

    def summary(self, features: Features) -> torch.Tensor:
        """(B, C) pooled features, by which answers are compared."""
        return self.encoder.head(features, pre_logits=True)

    def patches(self, features: Features, rows: Sequence[int]) -> torch.Tensor:
        """(len(rows), largest N, C) float32 of unit length: what the patches of some images come to.

        Members of a merged token have what it has; patches that were dropped are zeros.
        """
        wanted = features.plan.restore(features.tokens)[list(rows), self.prefix :]
        return normalize(wanted.float(), dim=-1)

    def answered_patches(self, answer: Answered) -> torch.Tensor:
        """(1, N, C), the same of a fresh answer of a stateful tokenizer."""
        assert answer.tokens is not None, "a held answer has the patches of the one before"
        return normalize(answer.tokens[None, self.prefix :].float(), dim=-1)

    def values(self, features: Features, rows: Sequence[int]) -> torch.Tensor:
        """The same of what attention took from them, see `Features.values`."""
        assert features.values is not None, "nobody asked for them"
        return normalize(features.values[list(rows), self.prefix :].float(), dim=-1)

    def answered_values(self, answer: Answered) -> torch.Tensor:
        """(1, N, C), the same of a fresh answer of a stateful tokenizer."""
        assert answer.values is not None, "nobody asked for them"
        return normalize(answer.values.transpose(0, 1).flatten(1)[None, self.prefix :].float(), dim=-1)

    def detail(self, features: Features) -> Outputs:
        """What a comparison wants to see and no prediction needs, a row per image each.

        Returns:
            "embedding" (B, C), "patches" (B, largest N, C) and, of a classifier, "scores" (B, classes).
        """
        patches = features.plan.restore(features.tokens)[:, self.prefix :]
        detail = {"embedding": self.summary(features), "patches": patches}
        if isinstance(self._head, LabelHead):
            detail["scores"] = self.encoder.head(features)
        return detail

    def _calibrate_on(self, typed: Sequence[Placed]) -> None:
        if self._calibration is not None:
            self._calibration.add(typed)
            if not self._calibration.wanted:
                self._calibration = None

    def _typed(self, images: Sequence[Placed]) -> list[Placed]:
        return [Placed(some.to(self.dtype), place) for some, place in images]

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
        found = self._head.prediction(arrays, row, geometry)
        return replace(found, cells=arrays["cells"][row]) if "cells" in arrays else found

    def flops(self, kept: int | Sequence[int] | None, grid: tuple[int, int] | None = None) -> int:
        """See `Model.flops`."""
        assert self.patch_size is not None
        rows, columns = grid or (self.input.height // self.patch_size, self.input.width // self.patch_size)
        patches = rows * columns
        encoder = self._encoder_flops(patches if kept is None else kept, patches)
        return encoder + self._head_flops((rows, columns))
