"""What `vwt vocab show` finds out of a vocabulary, in a file or in Redis; the JSON and the picture of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from pipeline.errors import ServiceError, UsageError
from pipeline.outputs.files import write_failure
from vocab.connection import connect, server_name
from vocab.errors import StoreUnavailable
from vocab.redis_store import RedisStore
from vocab.store import Record, VersionInfo
from vocab.words import Vocabulary
from workers.words.sheet import contact_sheet

NO_USAGE = "the window was not yet checked with these words"
_TOP_SHARES = (1, 10)  # percent of the words


@dataclass(frozen=True, slots=True)
class Usage:
    """How unevenly a vocabulary is used, by one record.

    Attributes:
        at: Unix seconds of the record.
        matched: patches that matched a word.
        used: words that matched a patch.
        unused: words that matched none.
        top: share of the matched patches that the most used 1 % and 10 % of the words take, by percent;
            None where no patch matched.
    """

    at: float
    matched: int
    used: int
    unused: int
    top: dict[int, float] | None

    @classmethod
    def of(cls, record: Record) -> Usage:
        """Counts a record."""
        counts = np.sort(record.coverage.usage)[::-1]
        matched, used = int(counts.sum()), int(np.count_nonzero(counts))
        top = None
        if matched:
            top = {
                percent: float(counts[: math.ceil(len(counts) * percent / 100)].sum() / matched)
                for percent in _TOP_SHARES
            }
        return cls(record.at, matched, used, len(counts) - used, top)


@dataclass(frozen=True, slots=True)
class Report:
    """A vocabulary, and what is known of its scope.

    Attributes:
        where: what it was read from, as fields of the JSON.
        vocabulary: of the file, or the current one of the scope.
        versions: that can be loaded, oldest first; None for a file.
        history: how versions covered the window, oldest first; None for a file.
    """

    where: dict[str, str]
    vocabulary: Vocabulary
    versions: list[VersionInfo] | None = None
    history: list[Record] | None = None

    @property
    def newest_record(self) -> Record | None:
        """The latest record of this vocabulary; None while there is none."""
        for record in reversed(self.history or ()):
            fits = len(record.coverage.usage) == len(self.vocabulary)
            if fits and record.version == self.vocabulary.version:
                return record
        return None


def read_file(path: Path) -> Report:
    """Reports on a file of words; raises VocabularyError when it is none."""
    return Report({"path": str(path)}, Vocabulary.load(path))


def read_scope(url: str, scope: str) -> Report:
    """Reports on what a scope has in Redis.

    Raises:
        ServiceError: Redis does not answer.
        UsageError: the scope has no words.
        VocabularyError: no Redis URL, no name for a scope, or words that cannot be read.
    """
    try:
        client = connect(url)
        store = RedisStore(client, scope, patch_size=None)
        version = store.current()
        if version is None:
            raise UsageError(
                f"scope '{scope}' has no words in {server_name(client)}; check --scope, or learn some with "
                f"`vwt run SOURCE --redis URL --scope {scope}`"
            )
        where = {"redis": server_name(client), "scope": scope}
        return Report(where, store.load(version), store.versions(), store.history())
    except StoreUnavailable as error:
        raise ServiceError(str(error)) from error


def sheet_png(report: Report) -> bytes:
    """The contact sheet as PNG."""
    record = report.newest_record
    sheet = contact_sheet(report.vocabulary, None if record is None else record.coverage.usage)
    _, png = cv2.imencode(".png", sheet[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return bytes(png.tobytes())


def write_sheet(report: Report, path: Path) -> None:
    """Writes the contact sheet as PNG.

    Raises:
        VwtError: it cannot be written.
    """
    png = sheet_png(report)
    try:
        path.write_bytes(png)
    except OSError as error:
        raise write_failure(path, error) from error


def to_json(report: Report, now: float) -> str:
    """The report as one JSON object; `now` is Unix seconds, for ages. A file has no fields of a scope."""
    vocabulary, scale = report.vocabulary, report.vocabulary.normalisation
    fields: dict[str, Any] = {
        **report.where,
        "words": len(vocabulary),
        "patch_size": vocabulary.patch_size,
        "version": vocabulary.version,
        "normalisation": None if scale is None else {"mean": scale.mean, "std": scale.std},
    }
    if report.versions is not None:
        fields["versions"] = [
            {
                "version": info.version,
                "words": info.words,
                "patch_size": info.patch_size,
                "published_at": info.published_at,
                "age_s": max(0.0, now - info.published_at),
                "current": info.version == vocabulary.version,
            }
            for info in report.versions
        ]
    if report.history is not None:
        fields["coverage"] = [
            {
                "at": record.at,
                "version": record.version,
                "matched": record.coverage.matched,
                "distance": record.coverage.distance,
            }
            for record in report.history
        ]
        fields["usage"] = _usage_json(report.newest_record)
        if fields["usage"] is None:
            fields["usage_reason"] = NO_USAGE
    return json.dumps(fields, indent=2, allow_nan=False)


def _usage_json(record: Record | None) -> dict[str, Any] | None:
    if record is None:
        return None
    usage = Usage.of(record)
    tops = {
        f"top_{percent}_percent_share": None if usage.top is None else usage.top[percent]
        for percent in _TOP_SHARES
    }
    return {
        "at": usage.at,
        "matched_patches": usage.matched,
        "used": usage.used,
        "unused": usage.unused,
        **tops,
    }
