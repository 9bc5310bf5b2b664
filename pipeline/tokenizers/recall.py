"""Recall: a stream pays only for what changed.

For every position of a frame the stream keeps its keys and values of all blocks, its output token and the
pixels they were computed from. Of a new frame only those positions run whose change matters to the answer;
the others are recalled. How much a change of pixels matters is learned per position (`_State.gain`), weighted
by what the class token pays to it; how far the answer then moves is learned per stream (`_State.moves`).

A stream of which recall would run nearly everything goes over to token merging, and back when it calms down.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from pipeline.frame import Frame
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.merge_words import WordStep
from pipeline.tokenizers.plan import INTACT, MERGED, RECALLED
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stateful import (
    CACHES,
    Decided,
    Decision,
    Memory,
    Ran,
    Run,
    StatefulTokenizer,
    after_s,
    goes_on,
)
from pipeline.tokenizers.steps import BlockStep
from vocab.words import Vocabulary

if TYPE_CHECKING:
    from pipeline.models.positions import Place

# Cosine distance by which the context may have moved at no loss, and what more of it counts.
_CONTEXT_FREE, _CONTEXT_WEIGHT = 0.05, 0.5
# What an answer moves per mean of `_State.matters`: at first, within what bounds, how fast it is learned, and
# how many times the learned value is reckoned with.
_MOVES, _MOVES_BOUNDS, _MOVES_STEP, _MOVES_SPARE = 0.15, (0.03, 0.6), 0.2, 1.2
# Positions run from this part of the allowed error on, times what the answer moves at first. Where answers
# move less frames are held for longer, and a run then settles more.
_PICK = 0.25
# Merging pays from this share of positions on, if answers move by this much (`_State.moving`) and errors of
# this size (`_State.eps`) are allowed; above the last share all run.
_MERGE_SHARE, _MERGE_MOVING, _MERGE_EPS, _FULL_SHARE = 0.3, 0.08, 0.007, 0.9
# What a merged run costs of a full one, and the share of patches that it merges away in all its blocks.
_MERGED_COST, _MERGED_AWAY = 0.64, 0.75
# A stream merges when what recall runs of it, a running mean by `_BUSY_STEP`, costs more than merging for the
# same target, and goes on until it costs less by `_CALM`. It merges away `_SWITCHED_AWAY` of the patches,
# less where the allowed error is below `_SWITCHED_EPS` (that of a target of .98), by the root of it; all of
# them would save `_MERGING_SAVES` of the cost (bikes: p5 .99 with .43 merged away, .98 with .54).
_BUSY, _BUSY_STEP, _CALM = 0.5, 0.125, 0.1
_SWITCHED_AWAY, _SWITCHED_EPS, _MERGING_SAVES = 0.42, 0.02 / 3, 0.37
# An answer that moves by this much was not foreseen.
_ESCALATE = 0.05
_GAIN_BOUNDS = (0.1, 4.0)
# How eps follows what is found of answers, within `_EPS_RANGE` times what it was at first, so that `_MISSED`
# of them miss the target. So many frames after one ran in full another does, at the latest, and its answer is
# looked at as well: the oldest there are, so this is strict; with .15 a stream may end below its target
# (`benchmarks/drift.py`).
_EPS_STEP, _MISSED, _EPS_RANGE = 0.35, 0.05, 4.0
_REFRESH_EVERY = 48


class RecallTokenizer(StatefulTokenizer):
    """Holds, recalls, merges or runs each frame of one stream, as the target allows.

    Args:
        target: 5th percentile of the cosine of answers to those of the full model, 0.5 to 1 excluded; None
            for the default.
        cache: type that keys and values are kept in, "fp32", "bf16" or "int8"; None for the default.
        bucket: tokens of a run are rounded up to a multiple of this, with what matters most of the rest; None
            for the default.
        merge_words: cosine distance up to which patches of one word merge where a whole frame runs merged; 0,
            the default, to merge by keys.
        vocabulary: the visual words for that.

    Raises:
        UsageError: when one is out of range.
    """

    name = "recall"

    def __init__(
        self,
        target: float | None = None,
        cache: str | None = None,
        bucket: int | None = None,
        merge_words: float | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        kind = TOKENIZERS[self.name]
        self.target = kind.value("target", target)
        near = kind.value("merge_words", merge_words)
        self._merging = _by_keys if vocabulary is None else partial(_by_words, vocabulary, near)
        self.vocab_version = None if vocabulary is None else vocabulary.version
        self._cache = CACHES[kind.choice("cache", cache)]
        self._bucket = int(kind.value("bucket", bucket))
        self._state: _State | None = None

    @property
    def bytes(self) -> int:
        """See `StatefulTokenizer.bytes`."""
        state = self._state
        return 0 if state is None else state.bytes

    def forget(self) -> None:
        """See `StatefulTokenizer.forget`."""
        self._state = None

    def answer(self, frame: Frame, place: Place, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:
        """See `StatefulTokenizer.answer`."""
        state = self._state
        if state is not None and goes_on(state.newest, state.place, frame, place):
            return (yield from self._go_on(state, frame, patches))
        memory = Memory(self._cache)
        ran = yield Run(memory)
        # Only now is it whole.
        self._state = _State(memory, frame, place, patches, ran, (1 - self.target) / 3)
        return Decided("full", memory, _states(patches, INTACT), len(patches), 0)

    def checked(self, patches: torch.Tensor, rows: torch.Tensor | None, ran: Ran) -> None:
        """See `StatefulTokenizer.checked`."""
        state = self._state
        if state is None:
            return
        given = state.summary
        state.take(patches, (patches - state.pixels).square().mean(dim=1), rows, ran)
        state.judge(_apart(given, state.summary) > 1 - self.target)

    def take_over(self, other: StatefulTokenizer) -> None:
        """See `StatefulTokenizer.take_over`; what was learned of the allowed error goes on with it."""
        if isinstance(other, RecallTokenizer) and other._state is not None and self._cache == other._cache:
            self._state = other._state
            self._state.rescale((1 - self.target) / (1 - other.target))

    def _go_on(self, state: _State, frame: Frame, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:
        count, before = len(patches), state.summary
        # Of holding, and of leaving a position out.
        threshold, least = state.eps / (_MOVES_SPARE * state.moves), _PICK * state.least_error / _MOVES
        moved = (patches - state.pixels).square().mean(dim=1)
        matters = state.matters(moved)
        flops = 3 * patches.numel() + 2 * state.context.numel()
        mean, picked = torch.stack([matters.mean(), (matters > least).sum()]).tolist()
        picked, all_patches = int(picked), _states(patches, INTACT)
        state.age += 1
        state.newest = frame
        audit = state.age >= _REFRESH_EVERY

        state.expects(mean, 0.0 if mean <= threshold else picked / count)

        decision: Decision
        states, kept = all_patches, count
        rest: torch.Tensor | None = None
        if mean <= threshold:
            if not audit:
                held_ms = state.held_ms(frame)
                return Decided("hold", state.memory, _states(patches, RECALLED), 0, flops, held_ms)
            decision = "hold"
        elif state.merging and picked >= _MERGE_SHARE * count:
            decision, states = "merged", (yield from self._run_merged(state, patches, moved, state.away))
        elif picked >= _MERGE_SHARE * count and state.moving > _MERGE_MOVING and state.eps >= _MERGE_EPS:
            decision, states = "merged", (yield from self._run_merged(state, patches, moved, _MERGED_AWAY))
        elif picked > _FULL_SHARE * count:
            decision = "full"
            state.take(patches, moved, None, (yield Run(state.memory)))
        else:
            kept = math.ceil((picked + state.prefix) / self._bucket) * self._bucket - state.prefix
            kept = min(kept, count)
            # By rank, since picking by a mask would wait for the device.
            order = matters.argsort(descending=True)
            rows, rest = (part.sort().values for part in order.split([kept, count - kept]))
            decision, states = "recall", _states(patches, RECALLED).index_fill_(0, rows, INTACT)
            state.take(patches, moved, rows, (yield Run(state.memory, rows)))
            if _apart(state.summary, before) > max(3 * state.eps, _ESCALATE):
                decision, states, kept = "escalated", all_patches, count
                if len(rest) > _MERGED_COST * count:
                    states = yield from self._run_merged(state, patches, moved, _MERGED_AWAY, rest)
                    rest = None
                elif len(rest):
                    state.take(patches, moved, rest, (yield Run(state.memory, rest)))
        if decision == "escalated":
            state.busy += _BUSY_STEP * (1 - picked / count)
        if decision == "full":
            state.age = 0
        elif audit:
            given = state.summary
            # What an escalated frame has left is nothing; it too is held against a run of all.
            rows = rest if decision == "recall" else None
            state.take(patches, moved, rows, (yield Run(state.memory, rows)))
            state.judge(_apart(given, state.summary) > 1 - self.target)
            decision, states, kept = "full", all_patches, count
        state.answered(frame, _apart(state.summary, before))
        return Decided(decision, state.memory, states, kept, flops)

    def _run_merged(
        self,
        state: _State,
        patches: torch.Tensor,
        moved: torch.Tensor,
        away: float,
        gains: torch.Tensor | None = None,
    ) -> Generator[Run, Ran, torch.Tensor]:
        """Runs all positions and merges a share of them away; gives their states."""
        ran = yield Run(state.memory, step=self._merging(patches, state.blocks, away))
        state.take(patches, moved, None, ran, gains)
        assert ran.group is not None
        sizes = torch.zeros(len(patches), dtype=torch.int64, device=patches.device)
        sizes.index_add_(0, ran.group, torch.ones_like(ran.group))
        alone = sizes[ran.group] == 1
        return torch.where(alone, INTACT, MERGED).to(torch.uint8)


class _State:
    """All that a stream keeps.

    Attributes:
        memory: keys, values and output tokens.
        place: of the patches.
        newest: the last frame.
        pixels: (N, 3*P*P) that each position was computed from.
        attention: (N,) what the answer takes from each.
        gain: (N,) change of its output per change of its pixels.
        context: (N, C) the summary when each was computed.
        summary: (C,) of the last answer.
        moves: what the answer moves by per mean of `matters`, a running geometric mean.
        busy: running mean of the share of positions that recall runs.
        merging: whether the stream has gone over to merging.
        moving: running mean of the cosine distance between answers.
        eps: allowed error per frame.
        age: frames since one ran in full.
        blocks, prefix: of the model.
    """

    def __init__(
        self, memory: Memory, frame: Frame, place: Place, patches: torch.Tensor, ran: Ran, eps: float
    ) -> None:
        self.memory = memory
        self.place = place
        self.newest = frame
        self.pixels = patches.clone()
        self.attention = ran.attention
        self.gain = torch.ones(len(patches), device=patches.device)
        self.summary = ran.summary
        self.context = ran.summary.repeat(len(patches), 1)
        self.moves = _MOVES
        self.busy = _BUSY
        self.merging = False
        self.moving = 0.0
        self.eps = eps
        self.age = 0
        self.blocks = len(ran.kept)
        self.prefix = len(memory.tokens) - len(patches)
        self._eps_range = eps / _EPS_RANGE, eps * _EPS_RANGE
        self._expected = 0.0
        self._answered = frame
        own = (self.pixels, self.attention, self.gain, self.context, self.summary)
        # It never changes.
        self._own_bytes = sum(part.numel() * part.element_size() for part in own)

    @property
    def bytes(self) -> int:
        """That all of it takes."""
        return self._own_bytes + self.memory.bytes

    @property
    def least_error(self) -> float:
        """Of the allowed error, what is left for positions that do not run."""
        return self.eps * min(self.moves / _MOVES, 1)

    @property
    def away(self) -> float:
        """Share of patches that merging may do without."""
        return _SWITCHED_AWAY * math.sqrt(min(self.eps / _SWITCHED_EPS, 1))

    def expects(self, mean: float, share: float) -> None:
        """Notes what a frame brings, and goes over to merging and back.

        Args:
            mean: of `matters`.
            share: of the positions that recall would run.
        """
        self._expected = mean
        self.busy += _BUSY_STEP * ((1.0 if share > _FULL_SHARE else share) - self.busy)
        self.merging = self.busy > 1 - _MERGING_SAVES * self.away - (_CALM if self.merging else 0)

    def held_ms(self, frame: Frame) -> float:
        """Age of the last answer when a frame is shown."""
        return 1000 * after_s(self._answered, frame)

    def matters(self, moved: torch.Tensor) -> torch.Tensor:
        """(N,) what recalling each position would cost the answer, by the squared change of its pixels."""
        apart = 1 - F.cosine_similarity(self.context, self.summary[None], dim=1)
        context = (apart - _CONTEXT_FREE).clamp_min(0)
        spared = moved * self.gain.square() + _CONTEXT_WEIGHT * context
        return spared * self.attention * len(moved)

    def take(
        self,
        patches: torch.Tensor,
        moved: torch.Tensor,
        rows: torch.Tensor | None,
        ran: Ran,
        gains: torch.Tensor | None = None,
    ) -> None:
        """Takes over what a run found.

        Args:
            patches: the frame's.
            moved: (N,) squared change of its pixels.
            rows: positions that ran; None for all.
            ran: what became of them.
            gains: those whose gain may learn from it, where all ran; None for all.
        """
        every = slice(None) if rows is None else rows
        learned = (ran.change / (moved[every].sqrt() + 0.05)).clamp(*_GAIN_BOUNDS)
        which = every
        if gains is not None:
            which, learned = gains, learned[gains]
        self.gain[which] = 0.7 * self.gain[which] + 0.3 * learned
        self.pixels[every] = patches[every]
        self.context[every] = ran.summary
        self.summary = ran.summary
        self.attention = ran.attention

    def rescale(self, factor: float) -> None:
        """Allows so many times the error."""
        self.eps *= factor
        low, high = self._eps_range
        self._eps_range = low * factor, high * factor

    def judge(self, missed: bool) -> None:
        """Allows more or less, by whether an answer missed the target."""
        low, high = self._eps_range
        self.eps = min(max(self.eps * math.exp(_EPS_STEP * (_MISSED - missed)), low), high)
        self.age = 0

    def answered(self, frame: Frame, moved: float) -> None:
        """Notes a fresh answer, and how far it is from the last one."""
        if self._expected > 0:
            low, high = _MOVES_BOUNDS
            found = min(max(moved / self._expected, low), high)
            self.moves *= (found / self.moves) ** _MOVES_STEP
        self.moving = 0.5 * self.moving + 0.5 * moved
        self._answered = frame


def _by_keys(patches: torch.Tensor, blocks: int, away: float) -> BlockStep:
    return MergeStep(round(away * len(patches) / blocks))


def _by_words(
    vocabulary: Vocabulary,
    near: float,
    patches: torch.Tensor,
    blocks: int,  # noqa: ARG001
    away: float,  # noqa: ARG001
) -> BlockStep:
    """How much is merged away follows from the words."""
    return WordStep.of(patches, vocabulary, near)


def _states(patches: torch.Tensor, state: int) -> torch.Tensor:
    return torch.full((len(patches),), state, dtype=torch.uint8, device=patches.device)


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Cosine distance."""
    return 1 - float(F.cosine_similarity(one, other, dim=0))
