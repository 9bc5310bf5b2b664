"""What a container lacks or has damaged: counted each time, told the first time of each kind."""

from __future__ import annotations

import re
from fractions import Fraction

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.sources.source import Dropped, Notice, OnNotice

# Fragments list their frames, so that what is missing of the last one shows.
_FRAGMENTS_S = 0.1
# Of a file: less behind the last packet are other streams, or the end of them.
_TAIL = 0.1


class Losses:
    """Counts what was lost of one source.

    Args:
        display: of the source, for the notices.
        on_notice, dropped: where losses are told and counted.
    """

    def __init__(self, display: str, on_notice: OnNotice, dropped: Dropped) -> None:
        self._display = display
        self._on_notice = on_notice
        self._dropped = dropped
        self._told: set[str] = set()

    def count(self, reason: str, kind: str, what: str) -> None:
        """Counts one more loss.

        Args:
            reason: see `Source.take_dropped`.
            kind: of the notice.
            what: there is to say of it.
        """
        self._dropped.add(reason)
        if reason not in self._told:
            self._told.add(reason)
            self._on_notice(Notice(kind, f"{self._display}: {what}"))


class Extent:
    """How far whole packets reach, against what their container states.

    Args:
        container: open.
        stream: in it that is read.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container = container
        self._stream = stream
        self._packets = 0
        self._end_s = 0.0
        self._first_s = seconds(stream.start_time, stream.time_base)
        # Where the last packet begins, in bytes.
        self._last_at: int | None = None

    def add(self, packet: Packet[VideoStream]) -> None:
        """Takes the next whole packet."""
        time_base = self._stream.time_base
        self._packets += 1
        self._last_at = packet.pos
        pts_s = seconds(packet.pts, time_base)
        if self._first_s is None:
            self._first_s = pts_s
        end_s = (pts_s or 0.0) + (seconds(packet.duration, time_base) or 0.0)
        self._end_s = max(self._end_s, end_s - (self._first_s or 0.0))

    def missing(self) -> str | None:
        """After the last packet: what is stated but not there; None when it is whole."""
        name, stated, stated_s = self._container.format.name, self._stream.frames, self._stated_s()
        if "mp4" in name and stated and stated_s:
            # The index lists every frame. The count alone misleads: a trimmed clip does not show them all.
            if self._packets < stated and self._end_s < stated_s - 0.01:
                return f"{self._packets} of {stated} frames are there"
        elif stated_s and self._end_s < stated_s - (_FRAGMENTS_S if "mp4" in name else 1.0):
            return f"{self._end_s:.1f} of {stated_s:.1f} s are there"
        size = self._container.size
        if name == "mpegts" and self._last_at is not None and size - self._last_at > size * _TAIL:
            share = 100 * (size - self._last_at) / size
            return f"its last {share:.0f} % hold nothing of the stream that is read; it may go on as another"
        return None

    def complete(self) -> bool:
        """Whether all that is stated is there; False where nothing is."""
        return self._stated_s() is not None and self.missing() is None

    def _stated_s(self) -> float | None:
        return seconds(self._stream.duration, self._stream.time_base) or _tagged_s(self._stream)


def seconds(ticks: int | None, time_base: Fraction | None) -> float | None:
    """A time in seconds; None where it or its unit is not known."""
    # The same to the last bit as of the fraction, which is made and reduced anew each time.
    return None if ticks is None or time_base is None else ticks * time_base.numerator / time_base.denominator


def _tagged_s(stream: VideoStream) -> float | None:
    """Matroska states the length of a stream in a tag, as hours:minutes:seconds."""
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3]) if match else None
