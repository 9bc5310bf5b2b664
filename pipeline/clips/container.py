"""Writing packets into a file of their own, as they are."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.packet import Packet
from av.video.stream import VideoStream

# Pictures as a camera's chip gives them: a clip of them would be hundreds of megabytes.
_RAW = frozenset({"rawvideo", "wrapped_avframe", "yuv4", "v210", "v308", "v408", "v410", "bitpacked"})


@dataclass(frozen=True, slots=True)
class Kept:
    """A packet, apart from the container that it came in.

    Attributes:
        data: as the codec made it.
        pts, dts: when it is shown and decoded, in ticks.
        duration: in ticks; 0 where it is not known.
        key: whether decoding can begin with it.
        at: seconds when it is decoded, or when it came.
    """

    data: bytes
    pts: int
    dts: int
    duration: int
    key: bool
    at: float


@dataclass(frozen=True, slots=True)
class Template:
    """What the packets of a stream are: its codec and how that is set up.

    Attributes:
        stream: of a container that is never written, which outlives the one it was read from.
        ending: of the names of files that can hold it.
        time_base: seconds of a tick.
    """

    stream: Any
    ending: str
    time_base: Fraction


def template_of(stream: VideoStream, time_base: Fraction | None) -> Template:
    """Notes what a stream is, for files that are written once its container is closed.

    Args:
        stream: of an open container; in the thread that reads it.
        time_base: of the packets.

    Raises:
        ValueError: nothing can hold its packets.
    """
    codec = stream.codec_context.codec.canonical_name
    if codec in _RAW:
        raise ValueError("its pictures come uncompressed, so there are no packets to cut")
    assert time_base is not None
    container = av.open(io.BytesIO(), "w", format="mp4")
    ending = "mp4"
    if codec not in container.supported_codecs:
        container, ending = av.open(io.BytesIO(), "w", format="matroska"), "mkv"
    try:
        return Template(container.add_stream_from_template(stream, opaque=True), ending, time_base)
    except (av.FFmpegError, ValueError) as error:
        raise ValueError(f"no file can hold {codec} as it comes ({error})") from None


def write_clip(path: Path, template: Template, packets: Sequence[Kept]) -> None:
    """Writes packets into a file that plays from the start while it is loaded.

    Args:
        path: of the file, replaced.
        template: says what they are.
        packets: in decoding order, the first a key frame.

    Raises:
        OSError: it cannot be written.
        ValueError: the format does not take these packets.
    """
    form = "mp4" if template.ending == "mp4" else "matroska"
    options = {"movflags": "faststart"} if form == "mp4" else {}
    origin, last = packets[0].dts, -1
    try:
        with av.open(str(path), "w", format=form, options=options) as container:
            stream = container.add_stream_from_template(template.stream, opaque=True)
            for kept in packets:
                packet: Packet[Any] = Packet(kept.data)
                # Some cameras give two packets one time; files take none.
                last = max(kept.dts - origin, last + 1)
                packet.dts, packet.pts = last, max(kept.pts - origin, last)
                packet.duration, packet.time_base = kept.duration, template.time_base
                packet.is_keyframe = kept.key
                packet.stream = stream
                container.mux(packet)
    except av.FFmpegError as error:
        # What the system says of a full disk is an OSError, too.
        if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
            raise OSError(error.errno, error.strerror) from None
        raise ValueError(error.strerror or str(error)) from None
