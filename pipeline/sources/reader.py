"""An open container and the decoder of its video."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from pipeline.clips.packets import Section
from pipeline.errors import SourceError
from pipeline.frame import Decoded, FrameTimes
from pipeline.sources.container import SMALLER, explain, is_live, open_container, open_pipe, video_stream
from pipeline.sources.display import display_of, pixel_aspect
from pipeline.sources.held_pictures import StatedPictures
from pipeline.sources.losses import Extent, Losses, seconds
from pipeline.sources.needed import Step
from pipeline.sources.planning import Planning
from pipeline.sources.source import Decoding, Dropped, Notice, OnNotice, SourceInfo, SourceOptions
from pipeline.sources.spec import SourceSpec
from pipeline.sources.timeline import BestTimes, FileTimeline

# FFmpeg's AVFMT_NOTIMESTAMPS.
_NO_TIMESTAMPS = 0x0080
# Where a file states no rate, a picture is taken to be shown for so long.
_PICTURE_S = 0.04


def open_reader(
    spec: SourceSpec,
    options: SourceOptions,
    hwaccel: HWAccel | None,
    on_notice: OnNotice,
    dropped: Dropped,
    decoding: Decoding,
) -> Reader:
    """Opens a container, on the CPU if the GPU is the reason why it does not open (full memory, for one).

    Raises:
        SourceError: it cannot be opened or holds no picture.
    """
    try:
        return Reader(spec, options, hwaccel, on_notice, dropped, decoding)
    except SourceError:
        if hwaccel is None:
            raise
    reader = Reader(spec, options, None, on_notice, dropped, decoding)
    on_notice(Notice("decoder", "decoding on the CPU: the GPU could not start a decoder for this stream"))
    return reader


class Reader:
    """Decodes one container from its start to its end, in one thread at a time.

    Attributes:
        info: facts, complete because the first picture is already decoded.
        error: what ended reading before the end; None while reading and after a proper end.
        timed: whether the format has times at all; a raw elementary stream has none.
    """

    def __init__(
        self,
        spec: SourceSpec,
        options: SourceOptions,
        hwaccel: HWAccel | None,
        on_notice: OnNotice,
        dropped: Dropped,
        decoding: Decoding,
    ) -> None:
        """Opens the container and decodes its first picture; may block for as long as the peer likes.

        Raises:
            SourceError: it cannot be opened or holds no picture.
        """
        self.error: Exception | None = None
        self._spec = spec
        self._losses = Losses(spec.display, on_notice, dropped)
        self._decode_ms = 0.0
        self._held: Decoded | None = None
        self._section: Section | None = None
        self._best = BestTimes()
        self._pipe = open_pipe(spec, options)
        try:
            self._container: InputContainer = open_container(spec, options, hwaccel, self._pipe)
        except BaseException:
            self._close_pipe()
            raise
        try:
            self._stream = video_stream(self._container, spec, options.max_pixels)
            self._stated = StatedPictures.of(self._stream, options.max_pixels)
            format_ = self._container.format
            # Of single pictures in a row it makes a rate up.
            self.timed = not format_.flags & _NO_TIMESTAMPS and format_.name != "jpeg_pipe"
            self._duration_s = seconds(self._container.duration, Fraction(1, av.time_base))
            live = is_live(self._container, spec, self._stream)
            if options.fps is not None and not (self.timed or live):
                raise SourceError(
                    f"{spec.display} ({format_.name}) states no times: without times no rate can be sampled; "
                    "leave out --fps, or put it into a container (MP4, Matroska)"
                )
            self._stream.codec_context.thread_count = options.threads
            if hwaccel is None and not live:
                # Faster, but every thread delays the picture by one frame: not for live sources.
                self._stream.thread_type = "AUTO"
            self._extent = Extent(self._container, self._stream)
            self._start_s = seconds(self._stream.start_time, self._stream.time_base)
            rate = self._stream.average_rate
            self._timeline = None if live else FileTimeline(1 / float(rate) if rate else _PICTURE_S)
            self._planning = Planning(self._stream, options, live, decoding, self._place, self._time)
            if options.packets is not None:
                self._section = options.packets.begin(self._stream, live, self.timed)
            self._pictures = self._decode()
            self._passed, self._first = self._read_first()
            if self._first is None:
                cause = f": {explain(spec, self.error)}" if self.error else ": give a source that plays"
                raise SourceError(f"no picture of {spec.display} could be decoded{cause}")
            self.info = self._describe(self._first, live)
            if hwaccel is not None and self.info.decoder == "cpu":
                codec = self._stream.codec_context.name
                on_notice(Notice("decoder", f"decoding on the CPU: the GPU does not decode this {codec}"))
        except BaseException:
            self.close()
            raise

    def pictures(self) -> Iterator[Decoded]:
        """Yields every picture the container holds, also when its end is missing; then see `error`."""
        assert self._first is not None
        yield self._first
        if self._passed is not None:
            yield self._passed
        yield from self._pictures

    def beginning(self) -> tuple[int, int] | None:
        """What tells the first picture from any other: its stamp and a sum over it; None for none."""
        stamp = self._stream.start_time
        if self._first is None or stamp is None or not self.timed or self.info.decoder != "cpu":
            return None
        return stamp, zlib.crc32(self._first.picture.planes[0])

    def missing(self) -> str | None:
        """After the last picture: what the container states but does not hold; None when it is whole."""
        if (missing := self._extent.missing()) is not None or self.error is None:
            return missing
        return getattr(self.error, "strerror", None) or f"it cannot be read on ({self.error})"

    def close(self) -> None:
        """Closes the container; only from the thread that reads it, or when none does."""
        if self._section is not None:
            self._section.end()
        self._container.close()
        self._close_pipe()

    def interrupt(self) -> None:
        """Ends a wait for the writer of a pipe; called from any thread."""
        if self._pipe is not None:
            self._pipe.interrupt()

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            self._pipe.close()

    def _read_first(self) -> tuple[Decoded | None, Decoded | None]:
        """The last frame that was passed over before the first picture came, and that picture."""
        passed = None
        for decoded in self._pictures:
            if decoded.picture is not None:
                return passed, decoded
            passed = decoded
        return passed, None

    def _decode(self) -> Iterator[Decoded]:
        for packet in self._packets():
            if packet is not None and not packet.is_corrupt:
                self._extent.add(packet)
            elif packet is not None and self._timeline is not None:
                self._timeline.damaged(self._time(packet.pts))
            for step in self._planning.steps(packet):
                yield from self._do(step)
            if packet is None:
                yield from self._frames(None)
                yield from self._in_time(None)

    def _do(self, step: Step) -> Iterator[Decoded]:
        if step.planned is None:
            yield Decoded(FrameTimes(pts_s=step.pts_s), None)
            return
        self._stream.codec_context.skip_frame = step.skip
        yield from self._frames(step.planned.packet)
        if step.alone:
            yield from self._frames(None)
            self._stream.codec_context.flush_buffers()

    def _frames(self, packet: Packet[VideoStream] | None) -> Iterator[Decoded]:
        """What the decoder gives once it has a packet, or is to hand out what it holds."""
        began = time.perf_counter()
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.FFmpegError as error:
            what = f"left out a packet that cannot be decoded ({error.strerror})"
            self._losses.count("corrupt", "corrupt", what)
            self._planning.failed()
            return
        self._decode_ms += (time.perf_counter() - began) * 1000.0
        decode_ms = self._decode_ms / max(len(frames), 1)
        aspect = pixel_aspect(self._stream) if frames else 1.0
        for frame in frames:
            planned = self._planning.came_out(frame.pts)
            if planned is not None and planned.sampled is False:
                continue
            # With what was decoded only because this frame refers to it.
            self._decode_ms = 0.0
            if planned is not None and planned.sampled:
                times = FrameTimes(pts_s=planned.pts_s, decode_ms=decode_ms)
                yield Decoded(times, frame, display_of(frame, aspect), sampled=True)
            else:
                ticks = self._best.choose(frame.pts, frame.dts)
                times = FrameTimes(pts_s=self._time(ticks), decode_ms=decode_ms)
                yield from self._in_time(Decoded(times, frame, display_of(frame, aspect)))

    def _in_time(self, decoded: Decoded | None) -> Iterator[Decoded]:
        """Frames on the timeline; one that jumps comes once that of the next is known. None is the end."""
        held, self._held = self._held, None
        if held is not None:
            yield self._placed(held, None if decoded is None else decoded.times.pts_s)
        if (
            decoded is not None
            and self._timeline is not None
            and self._timeline.jumps_to(decoded.times.pts_s)
        ):
            self._held = decoded
        elif decoded is not None:
            yield self._placed(decoded, None)

    def _placed(self, decoded: Decoded, next_s: float | None) -> Decoded:
        pts_s = self._on_timeline(decoded.times.pts_s, next_s)
        if pts_s == decoded.times.pts_s:
            return decoded
        return replace(decoded, times=replace(decoded.times, pts_s=pts_s))

    def _place(self, ticks: int | None) -> float | None:
        """When the next frame in the order shown is shown, in seconds."""
        return self._on_timeline(self._time(ticks), None)

    def _on_timeline(self, time_s: float | None, next_s: float | None) -> float | None:
        if self._timeline is None or time_s is None:
            return time_s
        line = self._timeline
        jumps, gaps = line.jumps, line.gaps
        pts_s = line.place(time_s, next_s)
        if line.jumps > jumps:
            self._losses.count(
                "jump", "times", f"its times jump at {pts_s:.1f} s; frames may be missing there"
            )
        elif line.gaps > gaps:
            self._losses.count("gap", "times", f"frames are missing before {pts_s:.1f} s")
        return pts_s

    def _time(self, ticks: int | None) -> float | None:
        """When a frame is shown as the container has it, in seconds since the first."""
        time_s = seconds(ticks, self._stream.time_base) if self.timed else None
        if time_s is None:
            return None
        if self._start_s is None:
            self._start_s = time_s
        return time_s - self._start_s

    def _packets(self) -> Iterator[Packet[VideoStream] | None]:
        """Packets, then None: hand out what the decoder still holds. Also when reading breaks off."""
        try:
            for packet in self._container.demux(self._stream):
                if packet.size and self._bounded(packet):
                    if self._section is not None:
                        self._section.add(packet, self._on_line(packet))
                    yield packet
        except (av.FFmpegError, IndexError) as error:
            # An index of the library's own: a stream came that was not there when it was opened.
            # A server that gave no length closes where the container ends, which is no loss.
            if not (self._spec.kind == "http" and self._extent.complete()):
                self.error = error
        if self._section is not None:
            self._section.end()
        yield None

    def _bounded(self, packet: Packet[VideoStream]) -> bool:
        """Whether what a packet states of its pictures may be decoded."""
        why = self._stated.refused_in(packet)
        if why is not None:
            self._losses.count("corrupt", "corrupt", f"left out a packet that {why}: {SMALLER}")
        return why is None

    def _on_line(self, packet: Packet[VideoStream]) -> float | None:
        """When a packet of a file is decoded, by the times of its frames."""
        time_s = self._time(packet.pts if packet.dts is None else packet.dts)
        return None if time_s is None or self._timeline is None else time_s + self._timeline.shift_s

    def _describe(self, first: Decoded, live: bool) -> SourceInfo:
        frame: VideoFrame = first.picture
        codec = self._stream.codec_context
        # After the first picture the decoder has settled for a pixel format: "cuda" means it is in use.
        on_gpu = codec.is_hwaccel and codec.pix_fmt == "cuda"
        # A live stream has no frames to take a mean of; its header often states a tick, not a rate.
        rate = self._stream.guessed_rate if live else self._stream.average_rate
        width, height = first.display.size(frame.width, frame.height)
        return SourceInfo(
            display=self._spec.display,
            name=self._spec.name,
            live=live,
            width=width,
            height=height,
            rate=float(rate) if rate and self.timed else None,
            frames=self._stream.frames or None,
            duration_s=self._duration_s if self.timed and not live else None,
            decoder="cuda" if on_gpu else "cpu",
        )
