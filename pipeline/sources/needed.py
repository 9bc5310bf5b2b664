"""Which packets have to be decoded so that the sampled frames come out, and no others.

Packets say when their frame is shown, so what sampling takes is known before anything is decoded. A frame it
does not take is decoded only where one it does take refers to it: nothing is decoded between the last sampled
frame of a group of pictures and the next group, and within a group the decoder leaves out what no other frame
refers to. The sampled frames are, bit by bit, those of a full decode.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.sampling import RateSampler
from pipeline.sources.nal import layered, restarts

# Decoders whose state begins anew at a key frame.
_REORDERING = frozenset({"h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4"})
_IN_ORDER = frozenset({"mjpeg", "vp8", "vp9", "av1", "msmpeg4v2", "msmpeg4v3", "flv1"})
# Held back at most; beyond it the oldest are decoded, needed or not.
_MOST_PACKETS = 600
_MOST_BYTES = 1 << 24
_JUMP_S = 10

Skip = Literal["DEFAULT", "NONREF"]


@dataclass(slots=True, eq=False)
class Planned:
    """A packet and what is known of its frame.

    Attributes:
        packet: as the container gives it.
        pts: when its frame is shown, in ticks; None where it has no time, and in no plan.
        restarts: whether decoding can begin here.
        sampled: whether its frame is sampled; None as long as a frame shown earlier may still come.
        pts_s: the same in seconds, once that is decided.
    """

    packet: Packet[VideoStream]
    pts: int | None = None
    restarts: bool = False
    sampled: bool | None = None
    pts_s: float | None = None


class UnplannableError(Exception):
    """The times of a stream do not say which frames are needed; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done next.

    Attributes:
        planned: the packet to decode; None where a frame was passed over.
        skip: what the decoder may leave out.
        pts_s: of a frame that was passed over.
        alone: the decoder gives the frame at once and forgets it, for the next refers to nothing before it.
    """

    planned: Planned | None = None
    skip: Skip = "DEFAULT"
    pts_s: float | None = None
    alone: bool = False


class Needed:
    """Plans one stream from a packet on at which decoding can begin. Give every packet in decoding order.

    Args:
        stream: the packets are of.
        sampler: what is sampled; asked once per frame, in the order they are shown.
        seconds: the presentation time of a frame that is shown at so many ticks.
        live: whether pictures are awaited, which no look ahead may delay.

    Attributes:
        held: packets that wait for what comes after them.
    """

    def __init__(
        self,
        stream: VideoStream,
        sampler: RateSampler,
        seconds: Callable[[int], float | None],
        live: bool,
    ) -> None:
        context = stream.codec_context
        self.held: deque[Planned] = deque()
        self._sampler = sampler
        self._seconds = seconds
        self._live = live
        self._codec = context.codec.canonical_name
        self._extradata = context.extradata
        self._context_skip: Skip = "DEFAULT" if layered(self._codec, self._extradata) else "NONREF"
        self._undecided: list[tuple[int, int, Planned]] = []
        self._order = 0
        self._bytes = 0
        self._sampled = 0
        # Reordering takes less, and gaps are for those who see each frame.
        self._jump = _JUMP_S / (stream.time_base or 1)
        self._decided_to: int | None = None
        self._last_dts: int | None = None

    @staticmethod
    def refusal(stream: VideoStream) -> str | None:
        """Why frames of a stream cannot be left out; None where they may be."""
        codec, container = stream.codec_context.codec.canonical_name, stream.container.format.name
        if container == "avi" and codec in _REORDERING:
            return "avi says when frames are decoded, not when they are shown"
        return None if codec in _REORDERING | _IN_ORDER else f"not known how to leave out frames of {codec}"

    @staticmethod
    def begins_at(packet: Packet[VideoStream], stream: VideoStream) -> bool:
        """Whether a plan can begin with a packet."""
        context = stream.codec_context
        timed = packet.pts is not None and packet.dts is not None
        return timed and restarts(packet, context.codec.canonical_name, context.extradata)

    def add(self, packet: Packet[VideoStream]) -> list[Step]:
        """Takes the next packet, and says what there is to do now.

        Raises:
            UnplannableError: the packet is not like those before; nothing was done with it.
        """
        pts, dts = packet.pts, packet.dts
        if pts is None or dts is None:
            raise UnplannableError("it has packets without a time")
        if packet.is_corrupt:
            raise UnplannableError("it is damaged")
        if self._last_dts is not None and not 0 <= dts - self._last_dts <= self._jump:
            raise UnplannableError("its times jump")
        if pts - dts > self._jump:
            raise UnplannableError("its times jump")
        if self._decided_to is not None and pts <= self._decided_to:
            raise UnplannableError("it is live and reorders frames" if self._live else "its times go back")
        self._last_dts = dts
        planned = Planned(packet, pts, restarts(packet, self._codec, self._extradata))
        self.held.append(planned)
        self._bytes += packet.size
        if packet.is_discard:
            # Decoded for others, never shown: an edit list begins behind it.
            planned.sampled = False
        else:
            heapq.heappush(self._undecided, (pts, self._order, planned))
            self._order += 1
        # No later frame is shown before its own decoding time. Live streams do not reorder.
        return self._decide(pts if self._live else dts)

    def end(self) -> list[Step]:
        """What there is to do once all packets were given."""
        steps = self._decide(None)
        self.held.clear()
        return steps

    def _decide(self, up_to: int | None) -> list[Step]:
        """Asks the sampler of every frame that is shown at `up_to` at the latest."""
        steps: list[Step] = []
        while self._undecided and (up_to is None or self._undecided[0][0] <= up_to):
            pts, _, planned = heapq.heappop(self._undecided)
            if pts == self._decided_to:
                raise UnplannableError("two of its frames have one time")
            self._decided_to = pts
            if planned.restarts:
                steps += self._release()
                self._drop_before(planned)
            planned.pts_s = self._seconds(pts)
            planned.sampled = self._sampler.wants(planned.pts_s)
            self._sampled += planned.sampled
            if not planned.sampled:
                steps.append(Step(pts_s=planned.pts_s))
        steps += self._release()
        while len(self.held) > _MOST_PACKETS or self._bytes > _MOST_BYTES:
            steps.append(self._step(self._take()))
        return steps

    def _release(self) -> list[Step]:
        """Everything up to the last sampled frame, if all that decodes before it is decided."""
        count = 0
        if not self._sampled:
            return []
        for number, planned in enumerate(self.held, start=1):
            if planned.sampled is None:
                break
            if planned.sampled:
                count = number
        return [self._step(self._take()) for _ in range(count)]

    def _drop_before(self, restart: Planned) -> None:
        """Forgets what only frames before `restart` could refer to.

        Frames that decode after it but are shown before it may refer to what is before; those are decided.
        """
        if restart not in self.held:
            return
        at = self.held.index(restart)
        leading = [p for number, p in enumerate(self.held) if number > at and _before(p, restart)]
        if any(planned.sampled for planned in leading):
            return
        for _ in range(at):
            self._take()
        for planned in leading:
            self.held.remove(planned)
            self._bytes -= planned.packet.size

    def _take(self) -> Planned:
        planned = self.held.popleft()
        self._bytes -= planned.packet.size
        self._sampled -= planned.sampled is True
        return planned

    def _step(self, planned: Planned) -> Step:
        return Step(planned, self._context_skip if planned.sampled is False else "DEFAULT")


def _before(one: Planned, other: Planned) -> bool:
    return one.pts is not None and other.pts is not None and one.pts < other.pts
