"""What of a stream is decoded: all of it, what the sampled frames need, or key frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from av.packet import Packet
from av.video.stream import VideoStream

from pipeline.sampling import RateSampler
from pipeline.sources.needed import Needed, Planned, Step, UnplannableError
from pipeline.sources.source import Decoding, SourceOptions


class Planning:
    """Says of each packet whether and how it is decoded, and of each frame whether it is sampled.

    Where a plan cannot be had, all is decoded and what comes out is sampled later on: a file to its end, a
    live stream until the next picture at which decoding can begin.

    Args:
        stream: to decode.
        options: what is sampled, and what of it is wanted decoded.
        live: whether pictures are awaited.
        decoding: where what is decoded is counted.
        place: the presentation time of the next frame in the order shown, by its ticks.
        seconds: the same of any frame.
    """

    def __init__(
        self,
        stream: VideoStream,
        options: SourceOptions,
        live: bool,
        decoding: Decoding,
        place: Callable[[int], float | None],
        seconds: Callable[[int], float | None],
    ) -> None:
        self._stream = stream
        self._sampler = RateSampler(options.fps)
        self._live = live
        self._decoding = decoding
        self._place = place
        self._seconds = seconds
        self._keys = options.decode == "keyframes"
        self._wants_plan = options.decode == "needed" and options.fps is not None
        self._needed: Needed | None = None
        # Why the plan cannot go on after the packets that were let out.
        self._broken: str | None = None
        # What went to the decoder under a plan and has not come out, by its time.
        self._under_way: dict[int, Planned] = {}
        decoding.how, decoding.reason = "all", None
        if self._keys:
            decoding.how = "keyframes"
        elif self._wants_plan and (refusal := Needed.refusal(stream)) is not None:
            self._give_up(refusal)

    def steps(self, packet: Packet[VideoStream] | None) -> Iterator[Step]:
        """What there is to do with the next packet; None at the end."""
        if packet is not None:
            self._decoding.frames += 1
        if self._keys:
            if packet is not None:
                yield self._key(packet)
            return
        if packet is not None and self._wants_plan and self._needed is None:
            self._begin(packet)
        if self._broken is not None and self._needed is not None:
            yield from self._abandon(self._broken)
        if self._needed is None:
            if packet is not None:
                yield Step(Planned(packet))
            return
        needed = self._needed
        try:
            planned = needed.end() if packet is None else needed.add(packet)
        except UnplannableError as error:
            yield from self._abandon(str(error))
            if packet is not None:
                yield Step(Planned(packet))
            return
        for step in planned:
            if step.planned is not None and step.planned.pts is not None:
                self._under_way[step.planned.pts] = step.planned
            yield step

    def came_out(self, pts: int | None) -> Planned | None:
        """What was planned for a frame that the decoder gives; None where nothing was."""
        self._decoding.decoded += 1
        if pts is None:
            return None
        planned = self._under_way.pop(pts, None)
        if planned is None and self._wants_plan:
            # A plan that begins later goes on with the same grid.
            self._sampler.wants(self._seconds(pts))
        # Frames come out as they are shown: what is older was left out.
        for late in [at for at in self._under_way if at < pts]:
            if self._under_way.pop(late).sampled:
                self._broken = self._broken or "a frame did not come out at its time"
        return planned

    def failed(self) -> None:
        """Notes that a packet could not be decoded: sampling must see what does come out from here on."""
        self._broken = "it is damaged"

    def _begin(self, packet: Packet[VideoStream]) -> None:
        if Needed.begins_at(packet, self._stream):
            self._broken = None
            self._needed = Needed(self._stream, self._sampler, self._place, self._live)
            self._decoding.how, self._decoding.reason = "needed", None
        elif not self._live:
            self._give_up("it does not begin with a key frame that has a time")

    def _abandon(self, reason: str) -> Iterator[Step]:
        held = [] if self._needed is None else list(self._needed.held)
        self._needed, self._broken = None, None
        self._decoding.how, self._decoding.reason = "all", reason
        self._wants_plan = self._live and "reorders" not in reason
        for planned in held:
            if planned.pts is not None:
                self._under_way[planned.pts] = planned
            yield Step(planned)

    def _give_up(self, reason: str) -> None:
        self._decoding.how, self._decoding.reason = "all", reason
        self._wants_plan = False

    def _key(self, packet: Packet[VideoStream]) -> Step:
        ticks = packet.dts if packet.pts is None else packet.pts
        if not packet.is_keyframe:
            return Step(pts_s=None if ticks is None else self._seconds(ticks))
        pts_s = None if ticks is None else self._place(ticks)
        if self._sampler.wants(pts_s):
            planned = Planned(packet, ticks, sampled=True, pts_s=pts_s)
            if ticks is not None:
                self._under_way[ticks] = planned
            return Step(planned, alone=True)
        return Step(pts_s=pts_s)
