"""Frames of a batch by size: what lies side by side and is alike is stacked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch

from pipeline.frame import Frame
from pipeline.models.positions import Place
from pipeline.tokenizers import Tokenizer, TokenPlan
from pipeline.tokenizers.stateful import StatefulTokenizer

T = TypeVar("T")

Planned = tuple[Sequence[Frame], Tokenizer]
Stateful = tuple[Sequence[Frame], StatefulTokenizer]


class Check(NamedTuple):
    """A frame that is to be answered in another way, too, to see what its answer is worth.

    Attributes:
        row: the frame, in its part.
        other: what plans it then; None for a stateful tokenizer, of which the whole frame runs.
        drawn: whether it was drawn as an audit, of which bounds are made.
        called: whether something about the frame called for it; else it was drawn at random, too.
    """

    row: int
    other: Tokenizer | None
    drawn: bool = True
    called: bool = False


class Part(NamedTuple):
    """Frames of one stream in a batch.

    Attributes:
        frames: at least one.
        tokenizer: what plans them; or what answers them.
        check: one of them that is to be checked; None for none.
        patches: whether the stream asks for the features of patches.
        values: whether it asks for what attention took from them, too.
    """

    frames: Sequence[Frame]
    tokenizer: Tokenizer | StatefulTokenizer
    check: Check | None = None
    patches: bool = False
    values: bool = False


@dataclass(frozen=True, slots=True)
class Stack(Generic[T]):
    """Frames of one size, side by side in their batch.

    Attributes:
        frames: at least one.
        place: of their patches; None for models without patches.
        planners: what plans the frames, and how many of them each, in their order.
    """

    frames: Sequence[Frame]
    place: Place | None
    planners: Sequence[tuple[T, int]]


def divided(parts: Sequence[Part]) -> tuple[list[Planned], list[Stateful]]:
    """Parts by the kind of their tokenizers, in their order."""
    planned: list[Planned] = []
    stateful: list[Stateful] = []
    for frames, tokenizer, *_ in parts:
        if isinstance(tokenizer, StatefulTokenizer):
            stateful.append((frames, tokenizer))
        else:
            planned.append((frames, tokenizer))
    return planned, stateful


class Checked(NamedTuple):
    """The one frame of a batch that is checked: never two of them, so that no pass takes much longer for it.

    Attributes:
        frame: which.
        other: see `Check`.
        row: among the frames that have plans; None where its tokenizer is stateful.
    """

    frame: Frame
    other: Tokenizer | None
    row: int | None


def checked(parts: Sequence[Part]) -> Checked | None:
    """The first frame that is to be checked; None where none is."""
    row = 0
    for frames, tokenizer, check, *_ in parts:
        stateful = isinstance(tokenizer, StatefulTokenizer)
        if check is not None:
            return Checked(frames[check.row], check.other, None if stateful else row + check.row)
        row += 0 if stateful else len(frames)
    return None


class Wanting(NamedTuple):
    """What is asked for beside predictions.

    Attributes:
        planned, stateful: rows of the frames whose patches are asked for, among those with plans and among
            the others.
        values: whether what attention took from them is asked for, too, of any of them.
    """

    planned: Sequence[int]
    stateful: Sequence[int]
    values: bool


def wanting(parts: Sequence[Part]) -> Wanting:
    """Which frames of a batch are of streams that ask for the features of patches."""
    wants: dict[bool, list[bool]] = {True: [], False: []}
    for part in parts:
        wants[isinstance(part.tokenizer, StatefulTokenizer)] += [part.patches] * len(part.frames)
    planned, stateful = ([row for row, own in enumerate(wants[kind]) if own] for kind in (False, True))
    return Wanting(planned, stateful, any(part.values for part in parts))


def stacks(parts: Sequence[tuple[Sequence[Frame], T]], patch_size: int | None) -> list[Stack[T]]:
    """The frames of all parts in their order, cut wherever the size or the place changes."""
    frames = [(frame, number) for number, (some, _) in enumerate(parts) for frame in some]
    found = []
    for (_, place), group in groupby(frames, key=lambda pair: _looks(pair[0], patch_size)):
        alike = list(group)
        planners = [
            (parts[number][1], len(list(own))) for number, own in groupby(number for _, number in alike)
        ]
        found.append(Stack([frame for frame, _ in alike], place, planners))
    return found


def pixels(stacked: Sequence[Stack[Any]], device: torch.device) -> Iterator[torch.Tensor]:
    """The images of each stack, (B, H, W, 3) uint8 on the device; one copy takes all of them there."""
    if device.type == "cpu":
        return (torch.from_numpy(np.stack([frame.image for frame in stack.frames])) for stack in stacked)
    shapes = [(len(stack.frames), *stack.frames[0].image.shape) for stack in stacked]
    sizes = [int(np.prod(shape)) for shape in shapes]
    staged = torch.empty(sum(sizes), dtype=torch.uint8, pin_memory=device.type == "cuda")
    for stack, part, shape in zip(stacked, staged.split(sizes), shapes, strict=True):
        np.stack([frame.image for frame in stack.frames], out=part.view(shape).numpy())
    sent = staged.to(device, non_blocking=True)
    return (part.view(shape) for part, shape in zip(sent.split(sizes), shapes, strict=True))


def plan_of(images: torch.Tensor, stack: Stack[Tokenizer], patch_size: int, prefix: int) -> TokenPlan:
    """The plan of a stack; tokenizers that are equal plan their frames at once.

    Args:
        images: (B, 3, H, W) of the stack, normalised.
        stack: whose frames they are.
        patch_size, prefix: of the model.
    """
    rows: dict[Tokenizer, list[slice]] = {}
    first = 0
    for tokenizer, count in stack.planners:
        rows.setdefault(tokenizer, []).append(slice(first, first + count))
        first += count
    if len(rows) == 1:
        return stack.planners[0][0].plan(images, patch_size, prefix)
    plans = [
        tokenizer.plan(torch.cat([images[part] for part in own]), patch_size, prefix)
        for tokenizer, own in rows.items()
    ]
    came = [row for own in rows.values() for part in own for row in range(part.start, part.stop)]
    return TokenPlan.join(plans).in_order(sorted(range(len(came)), key=came.__getitem__))


def _looks(frame: Frame, patch_size: int | None) -> tuple[tuple[int, ...], Place | None]:
    return frame.image.shape, None if patch_size is None else Place.of(frame, patch_size)
