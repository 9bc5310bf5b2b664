"""A frame that is to be answered by a stateful tokenizer, and how it was."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pipeline.frame import Frame
from pipeline.models.positions import Place
from pipeline.tokenizers.stateful import Decided, Memory, Ran, Run, StatefulTokenizer


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """A frame of a stream whose tokenizer is stateful.

    Attributes:
        frame: as it came.
        tokenizer: of its stream.
        image: (3, H, W) float32, normalised.
        place: of its patches.
        checked: whether what the answer left out is computed, too, once it is given.
        wants_values: whether `Answered.values` are to be there.
    """

    frame: Frame
    tokenizer: StatefulTokenizer
    image: torch.Tensor
    place: Place
    checked: bool = False
    wants_values: bool = False


@dataclass(slots=True, eq=False)
class Answered:
    """How a frame was answered, and by which runs.

    Attributes:
        place: of its patches.
        values_of: the block of which `values` are wanted; None for none.
        values: (H, prefix+N, D) of that block as the memory has them; None for a held frame.
        runs: in order; none for a held frame.
        tokens: (prefix+N, C) normalised output tokens; None for a held frame.
        number: of the fresh answers of its stream, from 1; 0 for a held frame.
        decoded: share of the operations of a dense head that ran.
        summary: (C,) pooled features, of a frame that is checked; else None.
        check: what the frame's answer would be with all positions run at once; None where there was no check,
            or they did run so.
        whole: whether the last run was of all positions, each a token of its own. Positions that ran one part
            after the other are not: the first part recalled what the others were before.
    """

    place: Place
    values_of: int | None = None
    values: torch.Tensor | None = None
    runs: list[Ran] = field(default_factory=list)
    tokens: torch.Tensor | None = None
    number: int = 0
    decoded: float = 1.0
    summary: torch.Tensor | None = None
    check: Answered | None = None
    whole: bool = False
    _rows: list[torch.Tensor | None] = field(default_factory=list)
    _decided: Decided | None = None

    @property
    def decided(self) -> Decided:
        assert self._decided is not None, "the frame is not answered yet"
        return self._decided

    @property
    def rows(self) -> torch.Tensor | None:
        """Patches whose tokens are others than in the answer before; None for all."""
        some = [rows for rows in self._rows if rows is not None]
        return torch.cat(some) if some and len(some) == len(self._rows) else None

    def take(self, run: Run, ran: Ran) -> None:
        """Notes what became of a wish."""
        self.runs.append(ran)
        self._rows.append(run.rows)
        self.whole = run.step is None and (run.rows is None or len(run.rows) == self.place.patches)

    def end(self, decided: Decided) -> None:
        """Takes the last word of the tokenizer; copies tokens, since the next frame writes to the memory."""
        self._decided = decided
        if decided.held_ms is None:
            self._take_tokens(decided.memory)

    def end_check(self, decided: Decided, run: Run, ran: Ran) -> None:
        """Takes what became of all that the answer before it left out."""
        self.take(run, ran)
        self._decided, self.summary = decided, ran.summary
        self._take_tokens(decided.memory)

    def _take_tokens(self, memory: Memory) -> None:
        memory.answers += 1
        self.number = memory.answers
        self.tokens = memory.tokens.clone()
        if self.values_of is not None:
            self.values = memory.block(self.values_of).values.clone()
