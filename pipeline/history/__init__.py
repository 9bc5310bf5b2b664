"""What a stream showed: an embedding of each frame that changed, kept in bounds and searched by likeness.

Free of torch, so that whoever only searches does not wait for it.
"""

from pipeline.history.find import Found, Wanted, find
from pipeline.history.history_file import HistoryFile, Origin, read_history
from pipeline.history.moments import Moment, Things, Widths, moments, pack, unpack
from pipeline.history.novelty import Novelty

__all__ = [
    "Found",
    "HistoryFile",
    "Moment",
    "Novelty",
    "Origin",
    "Things",
    "Wanted",
    "Widths",
    "find",
    "moments",
    "pack",
    "read_history",
    "unpack",
]
