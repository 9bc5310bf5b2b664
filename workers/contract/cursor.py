"""How far a client has read a stream: the id of every event it gets, and what it resumes with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_FORM = re.compile(r"(\d{1,18})(?:\.(\d{1,18}-\d{1,18})\.(\d{1,18}-\d{1,18}))?", re.ASCII)
_START = "0-0"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Read up to here, inclusive.

    Attributes:
        frames: number of results read: all frames below it; the entry of frame N has the id (N+1)-0.
        energy, events: entry ids in those streams.

    As text it is `frames.energy.events`; a bare number stands for that many results and every event.
    """

    frames: int = 0
    energy: str = _START
    events: str = _START

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Reads the text of a cursor.

        Raises:
            ValueError: it is none.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None:
            raise ValueError("a cursor is the id of an event, or the number of results already read")
        return cls(int(match[1]), match[2] or _START, match[3] or _START)

    def __str__(self) -> str:
        return f"{self.frames}.{self.energy}.{self.events}"

    @property
    def results(self) -> str:
        """The entry id in the stream of results."""
        return f"{self.frames}-0"

    def with_result(self, entry: str) -> Cursor:
        """After the result of that entry."""
        return replace(self, frames=int(entry.partition("-")[0]))
