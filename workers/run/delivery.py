"""Takes results to where they are wanted: statistics, JSONL, the annotated clip, metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pipeline.energy import Ledger
from pipeline.errors import VwtError
from pipeline.frame import Frame
from pipeline.outputs.annotate import Annotator
from pipeline.outputs.jsonl import JsonlWriter
from pipeline.results import FrameResult
from pipeline.settling import Settling
from pipeline.stats import RunStats

if TYPE_CHECKING:
    from workers.run.events import RunEvents
    from workers.run.metrics import RunMetrics

# What drawing needs beside a result; None where nothing is drawn.
_Drawing = tuple[Frame, npt.NDArray[np.uint8] | None]


class Delivery:
    """Delivers results in order, once their energy is settled or has waited long enough.

    Args:
        ledger: where settled figures come from.
        out: path of the JSONL file, "-" for standard output; None for none.
        annotate: path of the annotated clip; None for none.
        rate: nominal frames per second of the clip, for frames without a time.
        metrics: count what is delivered; None for none.
        events: what rules make of results; None for no rules.

    Raises:
        UsageError: when a path cannot be written.
    """

    def __init__(
        self,
        ledger: Ledger,
        out: str | None,
        annotate: str | None,
        rate: float | None,
        metrics: RunMetrics | None = None,
        events: RunEvents | None = None,
    ) -> None:
        self.stats = RunStats()
        self._events = events
        self._pictures = annotate is not None or (events is not None and events.pictures)
        self._metrics = metrics
        self._ledger = ledger
        self._settling: Settling[_Drawing | None] = Settling()
        self._sinks = ExitStack()
        self._jsonl = None if out is None else self._sinks.enter_context(JsonlWriter(out))
        self._annotator = None if annotate is None else self._sinks.enter_context(Annotator(annotate, rate))

    def add(
        self,
        results: Sequence[FrameResult],
        frames: Sequence[Frame],
        states: Sequence[npt.NDArray[np.uint8] | None],
    ) -> None:
        """Takes in the results of a batch with their frames and token maps."""
        for result, frame, state in zip(results, frames, states, strict=True):
            self.stats.add(result)
            self._settling.add(result, (frame, state) if self._pictures else None)

    def deliver(self, everything: bool = False) -> None:
        """Writes what is ready, or everything that is left.

        Raises:
            VwtError: when a file cannot be written to any more; told once. The others go on.
        """
        settled = self._ledger.settled()
        self._settling.settle(settled)
        for frame, energy in settled:
            assert isinstance(frame, int)
            self.stats.energy(frame, energy)
        failures: list[VwtError] = []
        for result, drawing in self._settling.ready(everything):
            if self._metrics is not None:
                self._metrics.add(result)
            try:
                if self._jsonl is not None:
                    self._jsonl.write(result)
            except VwtError as error:
                self._jsonl = None
                failures.append(error)
            try:
                self._happened(result, drawing)
            except VwtError as error:
                self._events = None
                failures.append(error)
            try:
                if self._annotator is not None and drawing is not None:
                    self._annotator.write(drawing[0], result, drawing[1])
            except VwtError as error:
                self._annotator = None
                failures.append(error)
        if failures:
            raise failures[0]

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Writes events where results go.

        Raises:
            VwtError: when the file cannot be written to any more.
        """
        if self._jsonl is not None:
            for event in events:
                self._jsonl.write_line(json.dumps(event, separators=(",", ":"), allow_nan=False))

    def _happened(self, result: FrameResult, drawing: _Drawing | None) -> None:
        if self._events is not None:
            self.tell(self._events.add(result, *(drawing or (None, None))))

    def close(self) -> None:
        """Settles what can be settled, writes everything, closes the files.

        Raises:
            VwtError: when a file could not be written to its end.
        """
        with self._sinks:
            self._ledger.flush()
            self.deliver(everything=True)
            if self._events is not None:
                self.tell(self._events.finish())
