"""The newest packets of a source, in bounded memory, so that the seconds around a moment can be cut out."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from fractions import Fraction

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.clips.container import Kept, Template, template_of
from pipeline.errors import VwtError

_NO_SECTION = "its source has no packets of video to cut from, as images have none"
# Of live streams whose format has no times: those of arrival.
_ARRIVAL = Fraction(1, 90_000)


class UncutError(VwtError):
    """No clip can be cut; the message says why."""


@dataclass(slots=True)
class _Group:
    """Packets from one at which decoding can begin up to the next such one."""

    section: Section
    packets: list[Kept] = field(default_factory=list)
    size: int = 0

    @property
    def at(self) -> float:
        """When its first picture is shown."""
        first, template = self.packets[0], self.section.template
        assert template is not None
        return first.at + float((first.pts - first.dts) * template.time_base) + self.section.offset_s


@dataclass(frozen=True, slots=True)
class Cut:
    """What a clip is made of.

    Attributes:
        template: says what the packets are.
        packets: in decoding order, the first a key frame.
    """

    template: Template
    packets: list[Kept]

    @property
    def size(self) -> int:
        """Bytes of the packets."""
        return sum(len(packet.data) for packet in self.packets)

    @property
    def ending(self) -> str:
        """Of the file's name: "mp4", or "mkv" for a codec that MP4 does not take."""
        return self.template.ending


class Section:
    """Packets of one connection, or of one pass over a file. Of one thread, that of its reader.

    Args:
        ring: that keeps them.
        stream: that they are of.
        live, timed: whether they come at their own pace, and have times.

    Attributes:
        template: says what they are; None where no clip can be cut.
        refusal: why none can; None where one can.
        offset_s: added to the times of a file, as the stream goes on from round to round.
        newest: when the last packet was; None before the first.
        ended: whether more may come.
    """

    def __init__(self, ring: PacketRing, stream: VideoStream, live: bool, timed: bool) -> None:
        self.template: Template | None = None
        self.refusal: str | None = None
        self.offset_s = 0.0
        self.newest: float | None = None
        self.ended = False
        self.live = live
        self._ring = ring
        self._timed = timed
        if not (timed or live):
            self.refusal = f"{stream.container.format.name} states no times by which to cut"
            return
        try:
            self.template = template_of(stream, stream.time_base if timed else _ARRIVAL)
        except ValueError as error:
            self.refusal = str(error)

    def add(self, packet: Packet[VideoStream], at_s: float | None) -> None:
        """Keeps a packet.

        Args:
            packet: as the container gives it, in decoding order.
            at_s: when it is decoded, by the times that results have; None for now, of a live source.
        """
        if self.template is None:
            return
        at = time.time() if self.live else at_s
        pts, dts = packet.pts, packet.dts
        if at is not None and not self._timed:
            pts = dts = round(at / _ARRIVAL)
        if at is None or (pts is None and dts is None):
            return
        pts, dts = (dts if pts is None else pts), (pts if dts is None else dts)
        assert pts is not None
        assert dts is not None
        kept = Kept(bytes(packet), pts, dts, packet.duration or 0, packet.is_keyframe, at)
        self._ring.keep(self, kept)

    def end(self) -> None:
        """Says that nothing more comes."""
        self.ended = True


class PacketRing:
    """Keeps the packets of a source from the key frame before the moments that are still wanted.

    A source puts them in from its threads; moments are Unix seconds for live sources, and presentation times
    of the stream for files.

    Args:
        most_bytes: of packets; beyond that the oldest go, wanted or not.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._groups: deque[_Group] = deque()
        self._bytes = 0
        self._section: Section | None = None
        self._lost_at: float | None = None
        self._lock = threading.Lock()

    @property
    def live(self) -> bool:
        """Whether moments are Unix seconds."""
        return self._section is not None and self._section.live

    @property
    def refusal(self) -> str | None:
        """Why no clip can be cut of what is read now; None where one can be."""
        section = self._section
        return _NO_SECTION if section is None else section.refusal

    def begin(self, stream: VideoStream, live: bool, timed: bool) -> Section:
        """Begins with another connection or pass; who read the one before puts in no more."""
        section = Section(self, stream, live, timed)
        with self._lock:
            if self._section is not None:
                self._section.end()
            self._section = section
        return section

    def place(self, start_s: float) -> None:
        """Says when the present pass over a file begins by the clock of its stream."""
        with self._lock:
            if self._section is not None and not self._section.live:
                self._section.offset_s = start_s

    def keep(self, section: Section, packet: Kept) -> None:
        """Keeps a packet of the present section."""
        with self._lock:
            if section is not self._section:
                return
            section.newest = packet.at
            new = not self._groups or self._groups[-1].section is not section
            if packet.key:
                self._groups.append(_Group(section))
            elif new:
                # Nothing can begin with it.
                return
            group = self._groups[-1]
            group.packets.append(packet)
            group.size += len(packet.data)
            self._bytes += len(packet.data)
            while self._groups and self._bytes > self._most_bytes:
                lost = self._drop()
                self._lost_at = lost.packets[-1].at + lost.section.offset_s

    def forget_before(self, moment: float) -> None:
        """Forgets what is not needed to show anything from a moment on."""
        with self._lock:
            while len(self._groups) > 1 and self._groups[1].at <= moment:
                self._drop()

    def reached(self, moment: float, until: float) -> bool:
        """Whether all packets up to `until` are there, or no more of the section of `moment` will come."""
        with self._lock:
            section = self._section_at(moment)
            if section is None or section is not self._section or section.ended:
                return True
            return section.newest is not None and section.newest + section.offset_s >= until

    def cut(self, since: float, moment: float, until: float) -> Cut:
        """What shows a moment and the seconds around it, as far as they are of its connection.

        Args:
            since: from the last key frame at or before it, or the first there is.
            moment: that must be in it.
            until: to the last packet at or before it.

        Raises:
            UncutError: it is not kept (any more).
        """
        with self._lock:
            section = self._section_at(moment)
            if section is None:
                raise UncutError(self._why_not(moment))
            assert section.template is not None
            groups = [group for group in self._groups if group.section is section]
            before = [number for number, group in enumerate(groups) if group.at <= since]
            kept = [packet for group in groups[before[-1] if before else 0 :] for packet in group.packets]
            last = until - section.offset_s
            first = kept[0].pts
            # What is shown before the key frame refers to what is not there.
            return Cut(section.template, [one for one in kept if one.at <= last and one.pts >= first])

    def _section_at(self, moment: float) -> Section | None:
        for group in reversed(self._groups):
            if group.at <= moment:
                return group.section
        return None

    def _why_not(self, moment: float) -> str:
        if self.refusal is not None:
            return self.refusal
        if self._lost_at is not None and moment <= self._lost_at:
            return f"its packets took more than {self._most_bytes} bytes before it was cut"
        return "no key frame came before it"

    def _drop(self) -> _Group:
        group = self._groups.popleft()
        self._bytes -= group.size
        return group
