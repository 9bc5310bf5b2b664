"""How far a benchmark is, on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

# Where there is no terminal, a line is written whenever so many percent more are done.
_PLAIN_STEP = 25


class BenchProgress:
    """A bar per clip; plain lines where there is no terminal.

    Args:
        console: on standard error.
        quiet: show nothing.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._bar: Progress | None = None
        if console.is_terminal and not quiet:
            columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=console)
        self._task: TaskID | None = None
        self._clip, self._steps, self._done = "", 1, 0

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def notice(self, text: str) -> None:
        """Says something above the bar."""
        if not self._quiet:
            self._console.print(text, soft_wrap=True, markup=False)

    def begin(self, clip: str, steps: int) -> None:
        """A clip of so many steps begins."""
        self._clip, self._steps, self._done = clip, steps, 0
        if self._bar is not None:
            self._task = self._bar.add_task(clip, total=steps)

    def step(self) -> None:
        """One step more is done."""
        before, self._done = self._done, self._done + 1
        if self._bar is not None:
            assert self._task is not None
            self._bar.advance(self._task)
            return
        done, was = (100 * count // self._steps // _PLAIN_STEP for count in (self._done, before))
        if done != was:
            self.notice(f"{self._clip}: {100 * self._done // self._steps} %")
