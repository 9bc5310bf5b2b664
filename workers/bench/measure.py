"""Runs all arms on the same frames in one process, in turn, against the full model's answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from pipeline.energy import Ledger
from pipeline.engine import Engine
from pipeline.fidelity import Answer, Fidelity
from pipeline.frame import Frame
from pipeline.models import Model, PackedModel
from pipeline.models.encoder import Features
from pipeline.models.heads import Outputs
from pipeline.stacking import stacks
from pipeline.tokenizers import Tokenizer
from pipeline.tokenizers.stateful import StatefulTokenizer
from workers.bench.arms import Arm


@dataclass(slots=True)
class Measured:
    """What came of one arm on one clip.

    Attributes:
        arm: which.
        fidelity: of its answers.
        flops: operations of all frames, planning included.
        tokens: patch tokens that entered the encoder, over all frames; 0 for a model without patches.
        cpu_s, wall_s: per batch, in order.
        joules: over all frames; None where they are not known.
        last: the newest answer.
    """

    arm: Arm
    fidelity: Fidelity = field(default_factory=Fidelity)
    flops: int = 0
    tokens: int = 0
    cpu_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    joules: float | None = 0.0
    last: Answer | None = None

    def book(self, joules: float | None) -> None:
        """Adds what one frame took; the sum is unknown from the first frame on that is."""
        self.joules = None if joules is None or self.joules is None else self.joules + joules


@dataclass(frozen=True, slots=True)
class _Cost:
    """What a batch took: operations per frame, patch tokens, seconds, and when (`time.monotonic()`)."""

    flops: Sequence[int]
    tokens: int
    cpu_s: float
    wall_s: float
    start_s: float
    end_s: float


def measure(
    frames: Sequence[Frame],
    arms: Sequence[Arm],
    batch: int,
    ledger: Ledger,
    tick: Callable[[], None] = lambda: None,
) -> list[Measured]:
    """Measures arms on a clip.

    Args:
        frames: of one clip, in order.
        arms: the first is the full model, which the others are held against; all models are loaded with
            their embedding.
        batch: frames that run together.
        ledger: shares out energy.
        tick: called whenever an arm has done a batch.

    Returns:
        One per arm, in order.
    """
    found = [Measured(arm) for arm in arms]
    # The allocator and the caches of kernels settle on what every arm does first.
    for one in found:
        _compute(one.arm.engine, frames[:batch], one.arm.tokenizer.next(frames[:batch]))
        one.arm.tokenizer.forget()
    turn = list(range(1, len(found)))
    for start in range(0, len(frames), batch):
        some = frames[start : start + batch]
        truth = _answer(some, found, 0, ledger)
        for answer in truth:
            found[0].fidelity.add(answer, answer)
        tick()
        for number in turn:
            for answer, right in zip(_answer(some, found, number, ledger), truth, strict=True):
                found[number].fidelity.add(answer, right)
            tick()
        # Nobody always comes after the same one.
        turn = turn[1:] + turn[:1]
    ledger.flush()
    for key, energy in ledger.settled():
        assert isinstance(key, tuple)
        found[key[0]].book(energy.joules)
    return found


def _answer(frames: Sequence[Frame], found: Sequence[Measured], number: int, ledger: Ledger) -> list[Answer]:
    """The answers of arm `number` to frames: fresh ones, and the last one for frames that it skips."""
    one = found[number]
    cpu, wall = time.process_time(), time.perf_counter()
    picked = [one.arm.picks(frame) for frame in frames]
    cpu_s, wall_s = time.process_time() - cpu, time.perf_counter() - wall
    wanted = [frame for frame, wants in zip(frames, picked, strict=True) if wants]
    fresh: list[Answer | None] = []
    if wanted:
        fresh, cost = _compute(one.arm.engine, wanted, one.arm.tokenizer.next(wanted))
        one.flops += sum(cost.flops)
        one.tokens += cost.tokens
        cpu_s, wall_s = cpu_s + cost.cpu_s, wall_s + cost.wall_s
        keys = [(number, len(one.wall_s), index) for index in range(len(wanted))]
        for energy in ledger.record(cost.start_s, cost.end_s, cost.flops, keys):
            if energy.settled or energy.joules is None:
                one.book(energy.joules)
    one.cpu_s.append(cpu_s)
    one.wall_s.append(wall_s)
    answers = []
    for wants in picked:
        # None also where a tokenizer holds its last answer.
        one.last = (fresh.pop(0) if wants else None) or one.last
        assert one.last is not None, "the first frame is always answered"
        answers.append(one.last)
    return answers


@dataclass(frozen=True, slots=True)
class _Ran:
    """What a batch came to: of frames that got a fresh answer, in order, and what all of them cost."""

    fresh: Sequence[bool]
    features: Features | None
    outputs: Outputs
    flops: Callable[[], list[int]]
    tokens: int = 0


@torch.inference_mode()
def _compute(
    engine: Engine, frames: Sequence[Frame], tokenizer: Tokenizer | StatefulTokenizer
) -> tuple[list[Answer | None], _Cost]:
    """What an engine does with a batch; and then what only a comparison wants, which no time counts.

    Frames that a tokenizer holds have None for an answer.
    """
    model = engine.model
    _wait(model)
    start_s, cpu, wall = time.monotonic(), time.process_time(), time.perf_counter()
    ran = (
        _recall(engine, frames, tokenizer)
        if isinstance(tokenizer, StatefulTokenizer)
        else _plan(engine, frames, tokenizer)
    )
    _wait(model)
    cpu_s, wall_s, end_s = time.process_time() - cpu, time.perf_counter() - wall, time.monotonic()
    outputs = ran.outputs
    if isinstance(model, PackedModel) and ran.features is not None:
        outputs = outputs | model.detail(ran.features)
    answered = [frame for frame, fresh in zip(frames, ran.fresh, strict=True) if fresh]
    answers = iter(_answers(outputs, answered, model))
    cost = _Cost(ran.flops(), ran.tokens, cpu_s, wall_s, start_s, end_s)
    return [next(answers) if fresh else None for fresh in ran.fresh], cost


def _plan(engine: Engine, frames: Sequence[Frame], tokenizer: Tokenizer) -> _Ran:
    model, all_fresh = engine.model, [True] * len(frames)
    plan, images = engine.plan(stacks([(frames, tokenizer)], model.patch_size))
    if not isinstance(model, PackedModel):
        outputs, _ = model.run(images, None)
        return _Ran(all_fresh, None, outputs, lambda: [model.flops(None)] * len(frames))
    assert plan is not None
    features = model.encode(images, plan)
    trail = features.trail

    def flops() -> list[int]:
        return [
            model.flops(trail.kept_by(row), place.grid)
            + trail.step_flops[row]
            + tokenizer.flops(place.patches, model.patch_size)
            for row, place in enumerate(features.places)
        ]

    return _Ran(all_fresh, features, model.read(features), flops, sum(trail.kept[0]))


def _recall(engine: Engine, frames: Sequence[Frame], tokenizer: StatefulTokenizer) -> _Ran:
    model = engine.model
    assert isinstance(model, PackedModel)
    answers = engine.answer([(frames, tokenizer)])
    features = model.recalled(answers)
    return _Ran(
        [answer.tokens is not None for answer in answers],
        features,
        {} if features is None else model.read(features),
        lambda: [model.recalled_flops(answer) for answer in answers],
        sum(answer.decided.kept for answer in answers),
    )


def _answers(outputs: Outputs, frames: Sequence[Frame], model: Model) -> list[Answer]:
    """A row of the outputs per frame; what a batch holds for larger frames is cut off."""
    host = {name: values.float().cpu() for name, values in outputs.items()}
    arrays, patch_size = {name: values.numpy() for name, values in host.items()}, model.patch_size
    answers = []
    for row, frame in enumerate(frames):
        own = {name: values[row] for name, values in host.items()}
        height, width, _ = frame.image.shape
        if patch_size is not None and "patches" in own:
            own["patches"] = own["patches"][: (height // patch_size) * (width // patch_size)]
        saliency = own["saliency"][:height, :width] if "saliency" in own else None
        boxes = model.prediction(arrays, row, frame.geometry).boxes if "boxes" in own else None
        answers.append(Answer(own["embedding"], own.get("patches"), own.get("scores"), saliency, boxes))
    return answers


def _wait(model: Model) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
