"""How a run is going, on standard error."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from pipeline.sources import Decoding
from pipeline.stats import RunStats

_TERMINAL_INTERVAL_S = 0.25
_PLAIN_INTERVAL_S = 10.0
# The rate shown is that of the last seconds, so that a stalled stream shows as one.
_RATE_WINDOW_S = 5.0
_SHRINKING = Column(no_wrap=True, overflow="ellipsis", ratio=1)


class RunInfo(Protocol):
    """What is shown of a source; the `info` of an open source has it.

    `frames` and `duration_s` are None where the source does not state them.
    """

    @property
    def name(self) -> str: ...
    @property
    def live(self) -> bool: ...
    @property
    def frames(self) -> int | None: ...
    @property
    def duration_s(self) -> float | None: ...


class Progress:
    """A bar for a source whose length is known, else a status line; plain lines where there is no terminal.

    A terminal is redrawn up to four times a second; elsewhere (a log file) one line is written every ten
    seconds, without control characters. Use it as a context manager: leaving it clears the bar.
    """

    def __init__(
        self,
        info: RunInfo,
        console: Console,
        quiet: bool = False,
        max_frames: int | None = None,
        decoding: Decoding | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepares it; nothing is written yet.

        Args:
            info: of the source.
            console: on standard error.
            quiet: write nothing at all.
            max_frames: the run ends after this many frames, if given.
            decoding: what of the source is decoded, as far as it has come.
            clock: seconds, growing.
        """
        self._info = info
        self._console = console
        self._quiet = quiet
        self._max_frames = max_frames
        self._decoding = decoding
        self._clock = clock
        self._drawn_at = clock()
        self._samples = deque([(self._drawn_at, 0)])
        self._name = _printable(info.name)
        self._bar = None if quiet or not console.is_interactive else self._make_bar()

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, stats: RunStats, state: str = "running") -> None:
        """Shows where the run is. Call it as often as you like, also while no frames come.

        Args:
            stats: of the run so far.
            state: one word: "running", "reconnecting", "warming up".
        """
        if self._quiet:
            return
        now = self._clock()
        interval = _PLAIN_INTERVAL_S if self._bar is None else _TERMINAL_INTERVAL_S
        if now - self._drawn_at < interval:
            return
        self._drawn_at = now
        line = self._line(stats, state, self._rate(now, stats.frames))
        if self._bar is None:
            self._print(f"{self._name}: {line}")
        else:
            share = self._share_done(stats)
            self._bar.update(self._bar.task_ids[0], completed=share or 0.0, line=line, refresh=True)

    def notice(self, text: str) -> None:
        """Says something once, above the bar: a warning, a reconnect, that words are being learned."""
        if not self._quiet:
            self._print(_printable(text))

    def _print(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, emoji=False, soft_wrap=True)

    def _make_bar(self) -> Bar:
        columns: list[ProgressColumn] = []
        if self._has_end():
            columns += [BarColumn(bar_width=14), TextColumn("{task.percentage:>3.0f} %")]
        columns.append(TextColumn("{task.fields[line]}", markup=False, table_column=_SHRINKING))
        if self._has_end():
            columns.append(TimeRemainingColumn(compact=True))
        # Not redrawn by a thread of its own, and standard output is left alone: results may go there.
        bar = Bar(*columns, console=self._console, auto_refresh=False, transient=True, redirect_stdout=False)
        bar.add_task(self._name, total=1.0, line="starting")
        return bar

    def _has_end(self) -> bool:
        info = self._info
        return self._max_frames is not None or (not info.live and bool(info.duration_s or info.frames))

    def _share_done(self, stats: RunStats) -> float | None:
        """How much of the run is over, 0..1; by time where it is known, because sampling skips frames."""
        shares = []
        if self._max_frames:
            shares.append(stats.frames / self._max_frames)
        pts_s = stats.last.times.pts_s if stats.last else None
        if not self._info.live and self._info.duration_s and pts_s is not None:
            shares.append(pts_s / self._info.duration_s)
        elif not self._info.live and self._info.frames:
            shares.append(stats.frames / self._info.frames)
        return min(max(shares), 1.0) if shares else None

    def _rate(self, now: float, frames: int) -> float:
        self._samples.append((now, frames))
        while len(self._samples) > 2 and now - self._samples[1][0] >= _RATE_WINDOW_S:
            self._samples.popleft()
        since, before = self._samples[0]
        return (frames - before) / (now - since)

    def _line(self, stats: RunStats, state: str, rate: float) -> str:
        parts = [f"{stats.frames} frames", f"{rate:.1f} fps"]
        if stats.kept_share is not None:
            parts.append(f"tokens {100 * stats.kept_share:.0f} %")
        if self._decoding is not None and self._decoding.how != "all" and self._decoding.share is not None:
            parts.append(f"decoding {100 * self._decoding.share:.0f} %")
        joules = stats.energy_summary().joules_per_frame
        if joules is not None:
            parts.append(f"{joules:.3g} J/frame")
        if self._info.live:
            latency = stats.total_ms(0.5)
            if latency is not None:
                parts.append(f"{latency:.0f} ms")
            if stats.dropped:
                parts.append(f"{stats.dropped.total()} dropped")
        if self._info.live or state != "running":
            parts.insert(0, state)
        return "  ".join(parts)


def _printable(text: str) -> str:
    """Without control characters: names and messages may come from a remote peer."""
    return "".join(c if c.isprintable() else " " for c in text)
