"""What goes over a connection between two processes of this user, and where they meet."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

from workers.private import private_folder

# How many parts follow, then the bytes of each: first a pickle, then the arrays that it leaves out.
COUNT = struct.Struct("<I")
_MOST_PARTS = 1024
_MOST_BYTES = 2**31


def meeting_place(replica: str) -> Path:
    """Where a replica listens: in a folder that only this user can enter, so that who calls needs no key.

    Raises:
        UsageError: there can be no such folder.
    """
    return private_folder("vwt-doors") / replica


def packed(message: Any) -> list[bytes | memoryview]:
    """A message as parts to be sent one after another; large arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    # Both ends are the same code of the same user.
    pickled = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    arrays = [buffer.raw() for buffer in buffers]
    sizes = [len(pickled), *(array.nbytes for array in arrays)]
    return [COUNT.pack(len(sizes)) + _table(len(sizes)).pack(*sizes) + pickled, *arrays]


def table_bytes(head: bytes | bytearray) -> int:
    """Bytes of the table of sizes behind a count.

    Raises:
        ValueError: no message begins so.
    """
    (count,) = COUNT.unpack(head)
    if not 0 < count <= _MOST_PARTS:
        raise ValueError("this is no message")
    return _table(count).size


def sizes_of(table: bytes | bytearray) -> list[int]:
    """The sizes in a table.

    Raises:
        ValueError: the message is too large.
    """
    sizes = list(_table(len(table) // 8).unpack(table))
    if sum(sizes) > _MOST_BYTES:
        raise ValueError("a message is too large")
    return sizes


def unpacked(body: bytearray, sizes: Sequence[int]) -> Any:
    """The message; its arrays lie in `body`."""
    view = memoryview(body)
    first, *arrays = (view[start:end] for start, end in pairwise(accumulate(sizes, initial=0)))
    return pickle.loads(first, buffers=arrays)


def _table(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}Q")
