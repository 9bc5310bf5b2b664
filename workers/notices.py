"""What is said to a person while a run goes on, on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.text import Text


class Display(Protocol):
    """What is shown while something runs, such as a progress bar."""

    def __enter__(self) -> object: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def notice(self, text: str) -> None:
        """Says something above it."""
        ...


class Notices:
    """Says one-line messages, above the progress display while there is one. Safe from any thread.

    Args:
        console: on standard error.
        quiet: say nothing at all.

    Attributes:
        console: as given.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self.console = console
        self._quiet = quiet
        self._display: Display | None = None

    def say(self, text: str) -> None:
        """Says something once: a warning, a reconnect, that words were learned."""
        display = self._display
        if display is not None:
            display.notice(text)
        elif not self._quiet:
            # Messages may hold what a remote peer sent.
            self.console.print(Text("".join(c if c.isprintable() else " " for c in text)), soft_wrap=True)

    @contextmanager
    def waiting(self, text: str, long: bool = False) -> Iterator[None]:
        """Shows on a terminal what is waited for; nothing of it stays. Elsewhere a `long` wait is said."""
        if self._quiet or not self.console.is_interactive:
            if long:
                self.say(text)
            yield
            return
        with self.console.status(Text(text)):
            yield

    @contextmanager
    def above(self, display: Display) -> Iterator[None]:
        """Puts up a display; what is said meanwhile appears above it."""
        with display:
            self._display = display
            try:
                yield
            finally:
                self._display = None
