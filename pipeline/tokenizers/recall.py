"""Recall: a stream pays only for what changed.

For every position of a frame the stream keeps its keys and values of all blocks, its output token and the
pixels they were computed from. Of a new frame only those positions run whose change matters to the answer;
the others are recalled. How much a change of pixels matters is learned per position (`State.gain`), weighted
by what the class token pays to it; how far the answer then moves is learned per stream (`State.moves`).

A stream of which recall would run nearly everything goes over to token merging, and back when it calms down.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING

import torch

from pipeline.frame import Frame
from pipeline.tokenizers.merge import MergeStep
from pipeline.tokenizers.merge_words import WordStep
from pipeline.tokenizers.recall_state import FULL_SHARE, State, apart
from pipeline.tokenizers.registry import TOKENIZERS
from pipeline.tokenizers.stateful import (
    CACHES,
    Decided,
    Decision,
    Memory,
    Ran,
    Run,
    StatefulTokenizer,
    goes_on,
)
from pipeline.tokenizers.states import INTACT, MERGED, RECALLED
from pipeline.tokenizers.steps import BlockStep
from vocab.words import Vocabulary

if TYPE_CHECKING:
    from pipeline.models.positions import Place

# Merging pays from this share of positions on, if answers move by this much (`State.moving`) and the target
# allows errors of this size. What audits allow beyond the target does not count here: merging errs by what is
# merged away, whatever they found of recalled answers.
_MERGE_SHARE, _MERGE_MOVING, _MERGE_EPS = 0.3, 0.08, 0.007
# What a merged run costs of a full one, and the share of patches that it merges away in all its blocks.
_MERGED_COST, _MERGED_AWAY = 0.64, 0.75
# An answer that moves by this much was not foreseen.
_ESCALATE = 0.05
# So many frames after one ran in full another does, at the latest, and its answer is looked at as well: the
# oldest there are, so this is strict; with .15 of them missed a stream may end below its target
# (`benchmarks/drift.py`).
_REFRESH_EVERY = 48
# Where positions count by themselves, one runs whose pixels changed by this, mean squared, normalised: 13 of
# 255 grey levels. From .025 to .3 boxes on a CCTV clip are the same, F1 .92, at 12 % of the operations.
_STIRRED = 0.05


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
        self._state: State | None = None

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
        self._state = State(memory, frame, place, patches, ran, (1 - self.target) / 3)
        return Decided("full", memory, _states(patches, INTACT), len(patches), 0)

    def checked(self, patches: torch.Tensor, ran: Ran) -> None:
        """See `StatefulTokenizer.checked`."""
        state = self._state
        if state is None:
            return
        given, moved = state.summary, state.moved(patches)
        # Where no pixel changed since it ran there is no gain to be learned.
        state.take(patches, moved, None, ran, moved.nonzero()[:, 0])
        state.judge(apart(given, state.summary) > 1 - self.target)

    def take_over(self, other: StatefulTokenizer) -> None:
        """See `StatefulTokenizer.take_over`; what was learned of the allowed error goes on with it."""
        if isinstance(other, RecallTokenizer) and other._state is not None and self._cache == other._cache:
            self._state = other._state
            self._state.rescale((1 - self.target) / (1 - other.target))

    def _go_on(self, state: State, frame: Frame, patches: torch.Tensor) -> Generator[Run, Ran, Decided]:
        count, before = len(patches), state.summary
        threshold = state.threshold
        moved = state.moved(patches)
        flops = 3 * patches.numel() + state.weigh()
        matters = state.matters(moved)
        picks, stirred = matters > state.least, self._stirred(moved)
        counts = [matters.mean(), picks.sum()]
        if stirred is not None:
            counts = [matters.mean(), (picks | stirred).sum(), stirred.any()]
        mean, picked, *stirs = torch.stack(counts).tolist()
        picked = int(picked)
        state.age += 1
        state.newest = frame
        refresh = state.age >= _REFRESH_EVERY

        holds = mean <= threshold and not any(stirs)
        state.expects(mean, 0.0 if holds else picked / count)

        if holds and not refresh:
            held_ms = state.held_ms(frame)
            state.held()
            return Decided("hold", state.memory, _states(patches, RECALLED), 0, flops, held_ms)
        decision: Decision
        states = all_patches = _states(patches, INTACT)
        kept, early = count, False
        if holds:
            decision = "hold"
        elif state.merging and picked >= _MERGE_SHARE * count:
            decision, states = "merged", (yield from self._run_merged(state, patches, moved, state.away))
        elif picked >= _MERGE_SHARE * count and state.moving > _MERGE_MOVING and self._may_merge(state):
            decision, states = "merged", (yield from self._run_merged(state, patches, moved, _MERGED_AWAY))
        elif picked > FULL_SHARE * count:
            decision = "full"
            state.take(patches, moved, None, (yield Run(state.memory)))
        else:
            kept = math.ceil((picked + state.prefix) / self._bucket) * self._bucket - state.prefix
            kept = min(kept, count)
            # By rank, since picking by a mask would wait for the device.
            if stirred is not None:
                matters = matters.masked_fill(stirred, math.inf)
            order = matters.argsort(descending=True)
            rows, rest = (part.sort().values for part in order.split([kept, count - kept]))
            decision, states = "recall", _states(patches, RECALLED).index_fill_(0, rows, INTACT)
            state.take(patches, moved, rows, (yield Run(state.memory, rows)))
            if apart(state.summary, before) > max(3 * state.eps, _ESCALATE):
                decision, states, kept = "escalated", all_patches, count
                if len(rest) > _MERGED_COST * count:
                    states = yield from self._run_merged(state, patches, moved, _MERGED_AWAY, rest)
                elif len(rest):
                    state.take(patches, moved, rest, (yield Run(state.memory, rest)))
            else:
                early = state.doubts()
        if decision == "escalated":
            state.escalated(picked / count)
        if decision == "full":
            state.age = 0
        elif refresh or early:
            given = state.summary
            # All at once: the rest alone would come too near, since what had run recalled it as it was.
            state.take(patches, moved, None, (yield Run(state.memory)))
            state.judge(apart(given, state.summary) > 1 - self.target, early=not refresh)
            decision, states, kept = "full" if refresh else "escalated", all_patches, count
        state.answered(frame, apart(state.summary, before))
        return Decided(decision, state.memory, states, kept, flops)

    def _stirred(self, moved: torch.Tensor) -> torch.Tensor | None:
        """(N,) positions that run whatever the answer takes from them; None where there are no such."""
        return moved > _STIRRED if self.everywhere else None

    def _may_merge(self, state: State) -> bool:
        return min(state.eps, (1 - self.target) / 3) >= _MERGE_EPS

    def _run_merged(
        self,
        state: State,
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
