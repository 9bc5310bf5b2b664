"""What recall keeps of a stream: pixels, and what it has learned of them and of the allowed error."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from pipeline.frame import Frame
from pipeline.tokenizers.stateful import Memory, Ran, after_s

if TYPE_CHECKING:
    from pipeline.models.positions import Place

# Above this share of positions all run.
FULL_SHARE = 0.9
# Cosine distance by which the context may have moved at no loss, and what more of it counts.
_CONTEXT_FREE, _CONTEXT_WEIGHT = 0.05, 0.5
# What an answer moves per mean of `State.matters`: at first, within what bounds, how fast it is learned, and
# how many times the learned value is reckoned with.
_MOVES, _MOVES_BOUNDS, _MOVES_STEP, _MOVES_SPARE = 0.15, (0.03, 0.6), 0.2, 1.2
# Held answers teach nothing, and what was learned while much moved is too little once it calms down (a fixed
# camera was held for 25 frames on end, a third of them below the target): with every frame that is held it
# goes this part of the way, by its logarithm, to what is reckoned with where nothing is known.
_FADE, _UNKNOWN = 0.06, 0.3
# Positions run from this part of the allowed error on, times what the answer moves at first. Where answers
# move less frames are held for longer, and a run then settles more.
_PICK = 0.25
# A stream merges when what recall runs of it, a running mean by `_BUSY_STEP`, costs more than merging for the
# same target, and goes on until it costs less by `_CALM`. It merges away `_SWITCHED_AWAY` of the patches,
# less where the allowed error is below `_SWITCHED_EPS` (that of a target of .98), by the root of it; all of
# them would save `_MERGING_SAVES` of the cost (bikes: p5 .99 with .43 merged away, .98 with .54).
_BUSY, _BUSY_STEP, _CALM = 0.5, 0.125, 0.1
_SWITCHED_AWAY, _SWITCHED_EPS, _MERGING_SAVES = 0.42, 0.02 / 3, 0.37
_GAIN_BOUNDS = (0.1, 4.0)
# How eps follows what is found of answers, within `_EPS_RANGE` times what it was at first, so that `_MISSED`
# of them miss the target.
_EPS_STEP, _MISSED, _EPS_RANGE = 0.35, 0.05, 4.0
# Recalled answers that are given before one is looked at: none at first, when nothing is known of how a
# stream moves, one after one that missed, and twice as many as before after one that did not, up to these. Of
# the first 80 frames of bikes at full rate 4 % then miss a target of .98 instead of 11 %, for 7 full runs.
_FIRST_TRUSTED, _MOST_TRUSTED = 0, 48


class State:
    """All that a stream keeps.

    Attributes:
        memory: keys, values and output tokens.
        place: of the patches.
        newest: the last frame.
        pixels: (N, 3*P*P) that each position was computed from.
        attention: (N,) what the answer takes from each.
        gain: (N,) change of its output per change of its pixels.
        context: (N, C) the summary when each was computed, at length 1.
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
        self.context = F.normalize(ran.summary, dim=0).repeat(len(patches), 1)
        self.moves = _MOVES
        self.busy = _BUSY
        self.merging = False
        self.moving = 0.0
        self.eps = eps
        self.age = 0
        self._trusted = _FIRST_TRUSTED
        self._recalled = 0
        self.blocks = len(ran.kept)
        self.prefix = len(memory.tokens) - len(patches)
        self._eps_range = eps / _EPS_RANGE, eps * _EPS_RANGE
        self._expected = 0.0
        self._answered = frame
        # Of `matters`, until another run: what a change of pixels weighs, and what counts without one.
        self._weights: tuple[torch.Tensor, torch.Tensor] | None = None
        own = (self.pixels, self.attention, self.gain, self.context, self.summary)
        # It never changes.
        self._own_bytes = sum(part.numel() * part.element_size() for part in own)

    @property
    def bytes(self) -> int:
        """That all of it takes."""
        return self._own_bytes + self.memory.bytes

    @property
    def threshold(self) -> float:
        """Mean of `matters` up to which the last answer is held."""
        return self.eps / (_MOVES_SPARE * self.moves)

    @property
    def least(self) -> float:
        """What a position has to matter to run."""
        return _PICK * self.eps * min(self.moves / _MOVES, 1) / _MOVES

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
        self.busy += _BUSY_STEP * ((1.0 if share > FULL_SHARE else share) - self.busy)
        self.merging = self.busy > 1 - _MERGING_SAVES * self.away - (_CALM if self.merging else 0)

    def escalated(self, share: float) -> None:
        """Notes that all positions ran, not the share of them that was expected."""
        self.busy += _BUSY_STEP * (1 - share)

    def moved(self, patches: torch.Tensor) -> torch.Tensor:
        """(N,) mean squared change of the pixels of each position since it was computed."""
        # A norm reads once what a mean of squares reads twice.
        lengths: torch.Tensor = torch.linalg.vector_norm(patches - self.pixels, dim=1)
        return lengths.square_().div_(patches.shape[1])

    def held_ms(self, frame: Frame) -> float:
        """Age of the last answer when a frame is shown."""
        return 1000 * after_s(self._answered, frame)

    def matters(self, moved: torch.Tensor) -> torch.Tensor:
        """(N,) what recalling each position would cost the answer, by the squared change of its pixels."""
        self.weigh()
        assert self._weights is not None
        pixels, context = self._weights
        return torch.addcmul(context, moved, pixels)

    def weigh(self) -> int:
        """Makes what `matters` needs where a run has changed that; gives the operations it took."""
        if self._weights is not None:
            return 0
        apart = 1 - self.context @ F.normalize(self.summary, dim=0)
        context = (apart - _CONTEXT_FREE).clamp_min_(0).mul_(_CONTEXT_WEIGHT)
        taken = self.attention * len(context)
        self._weights = self.gain.square().mul_(taken), context.mul_(taken)
        return 2 * self.context.numel()

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
        self._weights = None
        every = slice(None) if rows is None else rows
        learned = (ran.change / (moved[every].sqrt() + 0.05)).clamp(*_GAIN_BOUNDS)
        which = every
        if gains is not None:
            which, learned = gains, learned[gains]
        self.gain[which] = 0.7 * self.gain[which] + 0.3 * learned
        self.pixels[every] = patches[every]
        self.context[every] = F.normalize(ran.summary, dim=0)
        self.summary = ran.summary
        self.attention = ran.attention

    def rescale(self, factor: float) -> None:
        """Allows so many times the error."""
        self.eps *= factor
        low, high = self._eps_range
        self._eps_range = low * factor, high * factor

    def doubts(self) -> bool:
        """Notes a recalled answer; gives whether it has to be looked at. See `_MOST_TRUSTED`."""
        self._recalled += 1
        return self._recalled > self._trusted

    def judge(self, missed: bool, early: bool = False) -> None:
        """Allows more or less, by whether an answer missed the target.

        Args:
            missed: whether it did.
            early: whether it was looked at since `doubts` said so; then it can only warn.
        """
        if missed or not early:
            low, high = self._eps_range
            self.eps = min(max(self.eps * math.exp(_EPS_STEP * (_MISSED - missed)), low), high)
        self._trusted = 1 if missed else min(2 * max(self._trusted, 1), _MOST_TRUSTED)
        self._recalled = 0
        self.age = 0

    def held(self) -> None:
        """Notes that nothing ran: what was learned of the stream counts less with every such frame."""
        self.moves *= (max(_UNKNOWN, self.moves) / self.moves) ** _FADE

    def answered(self, frame: Frame, moved: float) -> None:
        """Notes a fresh answer, and how far it is from the last one."""
        if self._expected > 0:
            low, high = _MOVES_BOUNDS
            found = min(max(moved / self._expected, low), high)
            self.moves *= (found / self.moves) ** _MOVES_STEP
        self.moving = 0.5 * self.moving + 0.5 * moved
        self._answered = frame


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """Cosine distance."""
    return 1 - float(F.cosine_similarity(one, other, dim=0))
