"""Searches the histories of a folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.history import Found, Origin, Wanted, find, read_history
from pipeline.history.history_file import histories


@dataclass(frozen=True, slots=True)
class Hit:
    """A moment that was found, and in which stream."""

    stream: str
    found: Found

    def to_dict(self) -> dict[str, Any]:
        """As the service's API has it, and the stream."""
        moment = self.found.moment
        times = {"frame": moment.frame, "pts_s": moment.pts_s, "captured_at": moment.captured_at}
        found = {"stream": self.stream, **times, "score": round(self.found.score, 4)}
        box = self.found.box
        return found if box is None else found | {"box": [round(side, 3) for side in box]}

    def text(self) -> str:
        """A line for people."""
        moment = self.found.moment
        when = _time(moment.pts_s, moment.captured_at)
        return f"{self.found.score:.3f}  {when:<23}  frame {moment.frame:<8}  {self.stream}"


def search(
    folder: Path,
    streams: Sequence[str],
    query: Callable[[Origin], Wanted],
    top: int,
    since_s: float | None,
    until_s: float | None,
    apart_s: float,
) -> list[Hit]:
    """The best moments of all histories of a folder, best first.

    Args:
        folder: that `vwt run --index` filled.
        streams: names of those to search; none for all.
        query: makes what is looked for; asked once for each way in which histories were made.
        top, since_s, until_s, apart_s: see `pipeline.history.find`.

    Raises:
        UsageError: there is no history, or none of such a stream.
        VwtError: of `query`.
    """
    read = [read_history(path) for path in histories(folder)]
    known = [origin.stream for origin, _ in read]
    if missing := [stream for stream in streams if stream not in known]:
        raise UsageError(f"{folder} has no history of {', '.join(missing)}; it has {', '.join(known)}")
    queries: dict[Origin, Wanted] = {}
    hits: list[Hit] = []
    for origin, records in read:
        if streams and origin.stream not in streams:
            continue
        if origin.alike not in queries:
            queries[origin.alike] = query(origin)
        wanted = queries[origin.alike]
        if not wanted.fits(records):
            name, vector = wanted.among(records)
            width = records[name].shape[-1]
            raise UsageError(
                f"what is looked for is {len(vector)} numbers wide and the history of {origin.stream} "
                f"{width}: texts are compared with what a model beside text was run for, without --names"
            )
        hits += [Hit(origin.stream, found) for found in find(records, wanted, top, since_s, until_s, apart_s)]
    return sorted(hits, key=lambda hit: -hit.found.score)[:top]


def _time(pts_s: float | None, captured_at: float | None) -> str:
    if captured_at is not None:
        return datetime.fromtimestamp(captured_at).isoformat(" ", "milliseconds")
    return "no time" if pts_s is None else str(timedelta(seconds=round(pts_s, 3)))[:11]
