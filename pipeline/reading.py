"""What inference says of each frame of a batch, read on the host once the device is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from pipeline.frame import Frame, Geometry
from pipeline.guard.compare import Compared, agreement
from pipeline.models.answering import Answered
from pipeline.models.base import Model
from pipeline.models.heads import Outputs
from pipeline.models.packed import PackedModel
from pipeline.models.stepping import Trail
from pipeline.results import Audit, Prediction
from pipeline.runtimes import NOT_COMPUTED, Computed
from pipeline.spreading import readers, spread
from pipeline.stacking import Planned
from pipeline.tokenizers import Tokenizer, patch_states
from pipeline.tokenizers.stateful import Decision

PatchFeatures: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FrameOutput:
    """What inference says of one frame.

    Attributes:
        prediction: of the model.
        tokens_full, tokens_kept: patch tokens before and after tokenizing; None for models without patches.
        states: (rows, columns) uint8, INTACT, MERGED, DROPPED or RECALLED per patch; None for models without
            patches.
        flops: operations the frame cost, planning and steps between blocks included.
        share: the same over those of the plain model; None for models without patches.
        computed: by which runtime, in which precision.
        vocab_version: of the words that planned it; None where it was planned without.
        decision: of a stateful tokenizer; None for others.
        held_ms: age of a held answer; None for a fresh one.
        compared: what a check of the answer found; None where there was none.
        audit: what the result says of it.
        probed: of a frame that ran in full and was drawn: its own part of what it cost; None for others.
        patches: (rows, columns, C) float32 features of unit length, zeros for a patch that was dropped; a
            held frame has those of the one before. None where the stream did not ask.
        values: the same of what attention took from them, see `Features.values`.
    """

    prediction: Prediction
    tokens_full: int | None
    tokens_kept: int | None
    states: npt.NDArray[np.uint8] | None
    flops: int
    share: float | None = None
    computed: Computed = NOT_COMPUTED
    vocab_version: int | None = None
    decision: Decision | None = None
    held_ms: float | None = None
    compared: Compared | None = None
    audit: Audit | None = None
    probed: float | None = None
    patches: PatchFeatures | None = None
    values: PatchFeatures | None = None

    @property
    def spent(self) -> int:
        """Operations, the check included."""
        return self.flops + (0 if self.compared is None else self.compared.flops)


def planned_outputs(
    model: Model, parts: Sequence[Planned], outputs: Outputs, trail: Trail | None, group: torch.Tensor | None
) -> list[FrameOutput]:
    """Of frames that ran on a plan.

    Args:
        model: that ran.
        parts: of the batch.
        outputs: of the model, a row per frame, on the host.
        trail: what became of the patches; None for models without.
        group: of its plan, on the host.
    """
    frames = [(frame, tokenizer) for some, tokenizer in parts for frame in some]
    arrays = {key: value.float().numpy() for key, value in outputs.items()}
    predictions = spread(
        lambda row: model.prediction(arrays, row, frames[row][0].geometry),
        range(len(frames)),
        readers(model.device.type),
    )
    if trail is None or group is None:
        cost = model.flops(None)
        return [
            FrameOutput(prediction, None, None, None, cost, None, model.computed, tokenizer.vocab_version)
            for prediction, (_, tokenizer) in zip(predictions, frames, strict=True)
        ]
    return [
        _planned(model, trail, row, frame, prediction, states, tokenizer)
        for row, ((frame, tokenizer), prediction, states) in enumerate(
            zip(frames, predictions, patch_states(group), strict=True)
        )
    ]


def _planned(
    model: Model,
    trail: Trail,
    row: int,
    frame: Frame,
    prediction: Prediction,
    states: npt.NDArray[np.uint8],
    tokenizer: Tokenizer,
) -> FrameOutput:
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


def with_check(
    outputs: Sequence[FrameOutput], row: int, summaries: npt.NDArray[np.float32]
) -> list[FrameOutput]:
    """Notes in the output of a frame what the last one, of the same frame answered in another way, says of
    it.

    Args:
        outputs: of a batch, the other answer last.
        row: the frame that was checked.
        summaries: (B, C) pooled features.
    """
    *own, other = outputs
    given = own[row]
    same = agreement(given.prediction, other.prediction)
    own[row] = replace(given, compared=Compared(summaries[row], summaries[-1], same, other.flops))
    return own


def with_patches(
    outputs: Sequence[FrameOutput],
    rows: Sequence[int],
    patches: torch.Tensor,
    values: torch.Tensor | None = None,
) -> list[FrameOutput]:
    """Notes the features of patches in the outputs of the streams that asked.

    Args:
        outputs: of a batch.
        rows: of those streams.
        patches: (len(rows), largest N, C) on the host.
        values: the same of what attention took from them; None where nobody asked.
    """
    noted = list(outputs)
    for number, row in enumerate(rows):
        states = noted[row].states
        assert states is not None, "frames have patches"
        grid = states.shape
        own, taken = (
            None if every is None else every[number, : states.size].numpy().reshape(*grid, -1)
            for every in (patches, values)
        )
        noted[row] = replace(noted[row], patches=own, values=taken)
    return noted


class Said:
    """What a model said of a frame, for as long as the answer is held; read once, when it is first wanted.

    Args:
        model: that ran.
        outputs: of its batch, a row per fresh frame, on the host once the batch is done.
        row: the frame's.
        geometry: of the frame.

    Attributes:
        patches, values: (rows, columns, C), as `FrameOutput` has them, once the batch is done.
    """

    patches: PatchFeatures | None = None
    values: PatchFeatures | None = None

    def __init__(self, model: Model, outputs: Outputs, row: int, geometry: Geometry) -> None:
        self._model = model
        self._row = row
        self._geometry = geometry
        self._outputs: Outputs | None = outputs
        self._prediction: Prediction | None = None

    def take_patches(self, grid: tuple[int, int], patches: torch.Tensor, values: torch.Tensor | None) -> None:
        """Notes the features of its patches, (1, N, C) each, on the host once the batch is done."""
        self.patches = patches.numpy().reshape(*grid, -1)
        self.values = None if values is None else values.numpy().reshape(*grid, -1)

    def prediction(self) -> Prediction:
        """Read on the host; the batch must be done."""
        if self._prediction is None:
            assert self._outputs is not None
            arrays = {
                key: value[self._row : self._row + 1].float().numpy() for key, value in self._outputs.items()
            }
            self._prediction = self._model.prediction(arrays, 0, self._geometry)
            self._outputs = None
        return self._prediction


def note_answers(
    model: PackedModel, answers: Sequence[tuple[Frame, Answered]], outputs: Outputs
) -> dict[Answered, Said]:
    """What was said in each answer; a held one says what was said before, also in an earlier batch.

    Args:
        model: that ran.
        answers: with the frames that they are of.
        outputs: of the model, a row per answer that is not held.
    """
    found: dict[Answered, Said] = {}
    row = 0
    for frame, answer in answers:
        memory = answer.decided.memory
        if answer.tokens is not None:
            memory.answer = Said(model, outputs, row, frame.geometry)
            row += 1
        found[answer] = memory.answer
    return found


def stateful_outputs(
    model: PackedModel,
    answers: Sequence[Answered],
    said: Mapping[Answered, Said],
    versions: Sequence[int | None],
) -> list[FrameOutput]:
    """Of frames of stateful tokenizers.

    Args:
        model: that ran.
        answers: one per frame.
        said: in them, and in their checks.
        versions: of the words that decided each.
    """
    computed = model.encoder.runtime.stepwise.computed
    # Each once: one that is held may be said of many frames.
    new = list({id(one): one for one in said.values()}.values())
    spread(Said.prediction, new, readers(model.device.type))
    outputs = []
    for answer, version in zip(answers, versions, strict=True):
        decided, flops = answer.decided, model.recalled_flops(answer)
        rows, columns = answer.place.grid
        outputs.append(
            FrameOutput(
                said[answer].prediction(),
                rows * columns,
                decided.kept,
                decided.states.cpu().numpy().reshape(rows, columns),
                flops,
                flops / model.flops(None, (rows, columns)),
                computed,
                version,
                decided.decision,
                decided.held_ms,
                _compared(model, answer, said),
                patches=said[answer].patches,
                values=said[answer].values,
            )
        )
    return outputs


def _compared(model: PackedModel, answer: Answered, said: Mapping[Answered, Said]) -> Compared | None:
    if answer.summary is None:
        return None
    check, given = answer.check, answer.summary.float().cpu().numpy()
    if check is None or check.summary is None:
        # All of the frame ran.
        return Compared(given, given, agreement(*[said[answer].prediction()] * 2), 0)
    other = check.summary.float().cpu().numpy()
    same = agreement(said[answer].prediction(), said[check].prediction())
    return Compared(given, other, same, model.ran_flops(check))
