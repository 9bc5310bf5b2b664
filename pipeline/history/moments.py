"""One moment of a stream: when it was, and the embedding of what was seen, as records of one size."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Records of one width C, as `record_type` lays them out.
Records = npt.NDArray[np.void]
_CHECK = "check"


@dataclass(frozen=True, slots=True)
class Moment:
    """When a frame was.

    Attributes:
        frame: its number in the stream.
        pts_s: presentation time; None where the container has none.
        captured_at: wall clock (Unix seconds) when a live frame arrived; None for files.
    """

    frame: int
    pts_s: float | None
    captured_at: float | None

    @property
    def time_s(self) -> float | None:
        """What searches go by: the wall clock of a live source, the presentation time of a file."""
        return self.pts_s if self.captured_at is None else self.captured_at


def record_type(width: int) -> np.dtype[np.void]:
    """A record for embeddings of `width` numbers; unknown times are NaN, `number` counts records from 1."""
    fields: list[Any] = [("number", "<u8"), ("frame", "<i8"), ("pts_s", "<f8"), ("captured_at", "<f8")]
    return np.dtype([*fields, ("vector", "<f2", (width,)), (_CHECK, "<u4")])


def pack(number: int, moment: Moment, vector: Sequence[float] | npt.NDArray[np.floating[Any]]) -> bytes:
    """A record: the moment, its embedding at unit length in half precision, and a checksum.

    Args:
        number: of the record, from 1.
        moment: when it was.
        vector: (C,) the embedding, of any length but 0.
    """
    record = np.zeros(1, record_type(len(vector)))
    record["number"], record["frame"] = number, moment.frame
    record["pts_s"] = math.nan if moment.pts_s is None else moment.pts_s
    record["captured_at"] = math.nan if moment.captured_at is None else moment.captured_at
    record["vector"] = unit(np.asarray(vector))
    record[_CHECK] = _sum(record.tobytes())
    return record.tobytes()


def unpack(data: bytes, width: int) -> Records:
    """Records as `pack` made them, by number; those that are torn or were never written are left out."""
    kind = record_type(width)
    records = np.frombuffer(data, kind, count=len(data) // kind.itemsize)
    written = np.flatnonzero(records["number"])
    whole = [at for at in written.tolist() if records[_CHECK][at] == _sum(records[at : at + 1].tobytes())]
    found = records[whole]
    return found[np.argsort(found["number"], kind="stable")]


def moments(records: Records) -> list[Moment]:
    """When each was."""
    times = (
        [None if math.isnan(t) else t for t in records[name].tolist()] for name in ("pts_s", "captured_at")
    )
    return [Moment(*one) for one in zip(records["frame"].tolist(), *times, strict=True)]


def times_s(records: Records) -> npt.NDArray[np.float64]:
    """(M,) `Moment.time_s`; NaN for none."""
    return np.where(np.isnan(records["captured_at"]), records["pts_s"], records["captured_at"])


def unit(vector: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(C,) at unit length; one of no length stays."""
    single = vector.astype(np.float32)
    length = float(np.linalg.norm(single))
    return single / length if length > 0 else single


def _sum(record: bytes) -> int:
    """Of all but the checksum itself, which comes last."""
    return zlib.crc32(record[:-4])
