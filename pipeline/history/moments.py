"""One moment of a stream: when it was, and the embedding of what was seen, as records of one size."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.results import CELLS, Prediction

# Records of one kind, as `record_type` lays them out.
Records = npt.NDArray[np.void]
_CHECK = "check"
# The year 3870, and 1900 years before 1970.
_LATEST_S = 6e10


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


@dataclass(frozen=True, slots=True)
class Widths:
    """How many numbers the embedding of a frame has, and the features of a part; 0 where there are none."""

    frame: int
    part: int

    @classmethod
    def of(cls, prediction: Prediction) -> Widths:
        """Of a prediction that has an embedding."""
        assert prediction.embedding is not None
        cells = prediction.cells
        return cls(len(prediction.embedding), 0 if cells is None else cells.shape[-1])


def record_type(widths: Widths) -> np.dtype[np.void]:
    """A record; unknown times are NaN, `number` counts records from 1, vectors are of unit length.

    `vector` is of the frame, `parts` are of its nine windows of half its height and width, a quarter apart.
    """
    fields: list[Any] = [("number", "<u8"), ("frame", "<i8"), ("pts_s", "<f8"), ("captured_at", "<f8")]
    vectors = [("vector", "<f2", (widths.frame,)), ("parts", "<f2", ((CELLS - 1) ** 2, widths.part))]
    return np.dtype([*fields, *vectors, (_CHECK, "<u4")])


def pack(number: int, moment: Moment, prediction: Prediction) -> bytes:
    """A record: the moment, what was seen, in half precision, and a checksum.

    Args:
        number: of the record, from 1.
        moment: when it was.
        prediction: of the frame; has an embedding.
    """
    record = np.zeros(1, record_type(Widths.of(prediction)))
    record["number"], record["frame"] = number, moment.frame
    record["pts_s"] = math.nan if moment.pts_s is None else moment.pts_s
    record["captured_at"] = math.nan if moment.captured_at is None else moment.captured_at
    record["vector"] = unit(np.asarray(prediction.embedding))
    if prediction.cells is not None:
        record["parts"] = unit(windows(prediction.cells))
    record[_CHECK] = _sum(record.tobytes())
    return record.tobytes()


def renumbered(record: np.void, number: int) -> bytes:
    """The same record under another number."""
    changed = record.copy()
    changed["number"] = number
    changed[_CHECK] = _sum(changed.tobytes())
    return bytes(changed.tobytes())


def unpack(data: bytes, widths: Widths) -> Records:
    """Records as `pack` made them, by number, without those that are torn, never written or no numbers."""
    kind = record_type(widths)
    records = np.frombuffer(data, kind, count=len(data) // kind.itemsize)
    written = np.flatnonzero(records["number"])
    whole = [at for at in written.tolist() if records[_CHECK][at] == _sum(records[at : at + 1].tobytes())]
    found = records[whole]
    found = found[_numbers(found)]
    return found[np.argsort(found["number"], kind="stable")]


def _numbers(records: Records) -> npt.NDArray[np.bool_]:
    """Whether vectors are finite and times, where there are any, those of a calendar."""
    good = np.isfinite(records["vector"]).all(1) & np.isfinite(records["parts"]).all((1, 2))
    for name in ("pts_s", "captured_at"):
        good &= ~(np.abs(records[name]) > _LATEST_S)
    return np.asarray(good)


def moments(records: Records) -> list[Moment]:
    """When each was."""
    times = (
        [None if math.isnan(t) else t for t in records[name].tolist()] for name in ("pts_s", "captured_at")
    )
    return [Moment(*one) for one in zip(records["frame"].tolist(), *times, strict=True)]


def times_s(records: Records) -> npt.NDArray[np.float64]:
    """(M,) `Moment.time_s`; NaN for none."""
    return np.where(np.isnan(records["captured_at"]), records["pts_s"], records["captured_at"])


def windows(cells: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
    """(rows, columns, C) -> ((rows-1)*(columns-1), C): means of each four cells that meet."""
    pairs = cells[:-1] + cells[1:]
    return ((pairs[:, :-1] + pairs[:, 1:]) / 4).reshape(-1, cells.shape[-1])


def unit(vectors: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """(..., C) at unit length; one of no length stays."""
    single = vectors.astype(np.float32)
    lengths = np.linalg.norm(single, axis=-1, keepdims=True)
    return np.asarray(single / np.where(lengths > 0, lengths, 1), np.float32)


def _sum(record: bytes) -> int:
    """Of all but the checksum itself, which comes last."""
    return zlib.crc32(record[:-4])
