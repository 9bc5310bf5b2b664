"""Whether the files a run is to write can be written."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import UsageError
from pipeline.outputs.files import check_output
from pipeline.sources import parse_source
from vocab.paths import exists
from workers.run.options import RunOptions

# What each option writes, and what its file may be called; without an ending it may be anything.
_WRITTEN = {
    "--out": ((".jsonl", ".ndjson", ".json", ".log", ".txt"), "JSON lines"),
    "--annotate": ((".mp4", ".m4v"), "MP4"),
    "--json-summary": ((".json", ".log", ".txt"), "JSON"),
}


def check_outputs(options: RunOptions) -> None:
    """Refuses output paths that cannot be right, before anything slow happens and anything is replaced.

    Raises:
        UsageError: a path that cannot be written, that two options name, or that is the source.
    """
    source = parse_source(options.source)
    taken = [(Path(source.location).resolve(), "SOURCE")] if source.local else []
    for option, path in (
        ("--out", options.out),
        ("--annotate", options.annotate),
        ("--json-summary", options.json_summary),
    ):
        if path is None:
            continue
        check_output(path, option)
        place = Path(path).resolve()
        for other, name in taken:
            if _same(place, other):
                raise UsageError(f"{option} {path} is {name} too; give each a file of its own")
        taken.append((place, option))
        _check_kind(path, option)


def _check_kind(path: str, option: str) -> None:
    """Refuses a name that promises another format than what is written."""
    suffix, (suffixes, what) = Path(path).suffix.lower(), _WRITTEN[option]
    if suffix not in ("", *suffixes):
        raise UsageError(f"{option} writes {what}, not {suffix}: give a name that ends in {suffixes[0]}")


def _same(one: Path, other: Path) -> bool:
    """Whether two paths are one file, be it by two hard links."""
    return one == other or (exists(one) and exists(other) and one.samefile(other))
