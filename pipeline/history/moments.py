"""One moment of a stream: when it was, and embeddings of what was seen, as records of one size."""

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
# Things that are kept of a moment, at most.
MOST_THINGS = 8
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


@dataclass(frozen=True, slots=True, eq=False)
class Things:
    """What changed in a frame.

    Attributes:
        boxes: (T, 4) top left x, y and w, h in 0..1 of the source picture; those that count most first.
        vectors: (T, C) of unit length: what attention took from each, see `pipeline.things`.
    """

    boxes: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Widths:
    """How many numbers the embedding of a frame has, the features of a part, and the values of a thing; 0
    where there are none."""

    frame: int
    part: int
    thing: int = 0

    @classmethod
    def of(cls, prediction: Prediction, things: Things | None = None) -> Widths:
        """Of a prediction that has an embedding, and the things in it where those are known."""
        assert prediction.embedding is not None
        parts = 0 if prediction.cells is None else prediction.cells.shape[-1]
        return cls(len(prediction.embedding), parts, 0 if things is None else things.vectors.shape[-1])


def record_type(widths: Widths) -> np.dtype[np.void]:
    """A record; unknown times are NaN, `number` counts records from 1, vectors are of unit length.

    `vector` is of the frame, `parts` are of its nine windows of half its height and width, a quarter apart,
    `things` of what changed in it, and `boxes` say where; where there were fewer these are zeros.
    """
    fields: list[Any] = [("number", "<u8"), ("frame", "<i8"), ("pts_s", "<f8"), ("captured_at", "<f8")]
    vectors = [("vector", "<f2", (widths.frame,)), ("parts", "<f2", ((CELLS - 1) ** 2, widths.part))]
    if widths.thing:
        vectors += [("things", "<f2", (MOST_THINGS, widths.thing)), ("boxes", "<f2", (MOST_THINGS, 4))]
    return np.dtype([*fields, *vectors, (_CHECK, "<u4")])


def pack(number: int, moment: Moment, prediction: Prediction, things: Things | None = None) -> bytes:
    """A record: the moment, what was seen, in half precision, and a checksum.

    Args:
        number: of the record, from 1.
        moment: when it was.
        prediction: of the frame; has an embedding.
        things: in it, of which the first are kept; None where they are not known.
    """
    record = np.zeros(1, record_type(Widths.of(prediction, things)))
    record["number"], record["frame"] = number, moment.frame
    record["pts_s"] = math.nan if moment.pts_s is None else moment.pts_s
    record["captured_at"] = math.nan if moment.captured_at is None else moment.captured_at
    record["vector"] = unit(np.asarray(prediction.embedding))
    if prediction.cells is not None:
        record["parts"] = unit(windows(prediction.cells))
    if things is not None:
        kept = min(len(things.boxes), MOST_THINGS)
        record["things"][0, :kept] = things.vectors[:kept]
        record["boxes"][0, :kept] = things.boxes[:kept]
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


def has_things(records: Records) -> bool:
    """Whether what changed was kept, too."""
    return "things" in (records.dtype.names or ())


def fitted(records: Records, widths: Widths) -> Records | None:
    """Records of other widths as such of these; None where they cannot be compared.

    A history may be told to keep things, or no longer: what is there then has none, or loses them.
    """
    kind = record_type(widths)
    if records.dtype == kind:
        return records
    if any(records.dtype[name] != kind[name] for name in ("vector", "parts")) or (
        has_things(records) and widths.thing
    ):
        return None
    found = np.zeros(len(records), kind)
    for name in set(records.dtype.names or ()) & set(kind.names or ()):
        found[name] = records[name]
    return found


def _numbers(records: Records) -> npt.NDArray[np.bool_]:
    """Whether vectors are finite and times, where there are any, those of a calendar."""
    good = np.isfinite(records["vector"]).all(1) & np.isfinite(records["parts"]).all((1, 2))
    if has_things(records):
        good &= np.isfinite(records["things"]).all((1, 2)) & np.isfinite(records["boxes"]).all((1, 2))
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
