"""Opening a container so that it can reach nothing but what the user named."""

from __future__ import annotations

import math
import socket
import stat
import sys
from pathlib import Path
from urllib.parse import urlsplit

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.stream import Discard, Disposition
from av.video.stream import VideoStream

from pipeline.errors import SourceError
from pipeline.redact import redact
from pipeline.sources.held_pictures import StatedPictures
from pipeline.sources.pipe import Pipe
from pipeline.sources.source import SourceOptions
from pipeline.sources.spec import SourceSpec

# Formats that hold media themselves. Not here: playlists and scripts, which name other files, and formats
# that make a picture of any text. Audio formats are here to be told apart from files that are no media.
_MEDIA = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,mxf,nut,ivf,gif,dv,rm,wtv,"
    "dhav,yuv4mpegpipe,h261,h263,h264,hevc,vvc,vc1,av1,obu,mjpeg,jpeg_pipe,mp3,wav,flac,aac,ac3,eac3"
)
_PROTOCOLS = {
    "file": "file",
    "sample": "file",
    "http": "http,https,tcp,tls,crypto",
    "rtsp": "rtsp,rtp,udp,tcp,tls",
}
_INPUT_OUTPUT_ERROR = 5
SMALLER = "take a smaller stream, or raise the limit (--max-pixels, ingest.max_pixels)"


def open_pipe(spec: SourceSpec, options: SourceOptions) -> Pipe | None:
    """The named pipe that a source is; None where it is none.

    Raises:
        SourceError: it cannot be opened.
    """
    try:
        if spec.kind == "file" and stat.S_ISFIFO(Path(spec.location).stat().st_mode):
            return Pipe(Path(spec.location), options.open_timeout_s + 1.0)
    except OSError as error:
        raise SourceError(f"cannot open {spec.display}: {error.strerror}: check the path") from error
    return None


def open_container(
    spec: SourceSpec, options: SourceOptions, hwaccel: HWAccel | None, pipe: Pipe | None = None
) -> InputContainer:
    """Opens the container; blocks as long as the library likes, so call it where it can be abandoned.

    Args:
        spec, options: of the source.
        hwaccel: what decodes it; None for the CPU.
        pipe: to read it from, where it is one.

    Raises:
        SourceError: it cannot be opened; one line that says why and what to do.
    """
    if spec.local:
        _check_path(spec)
    if spec.kind == "camera":
        _check_camera(spec)
    name, format_name, settings = _address(spec, options)
    # The library decodes a little to find out what it has; it hands this on to its decoders.
    settings["max_pixels"] = _decoder_limit(options.max_pixels)
    route = options.route if spec.host is not None else None
    if route is not None:
        name, more = route.way(spec)
        settings |= more
    try:
        return av.open(
            name if pipe is None else pipe,
            mode="r",
            format=format_name,
            options=settings,
            # Ends abandoned threads, where the library keeps its word. Later than our own deadlines: what the
            # library makes of its timeout is at times "invalid data".
            timeout=(options.open_timeout_s + 1.0, options.stall_timeout_s + 1.0),
            metadata_errors="replace",
            hwaccel=hwaccel,
        )
    except (av.FFmpegError, OSError, ValueError, RuntimeError, IndexError) as error:
        why = (None if route is None else route.failure) or explain(spec, error)
    # Outside the handler: the library's error holds the URL as it is, and a traceback would print it.
    raise SourceError(f"cannot open {spec.display}: {why}")


def video_stream(container: InputContainer, spec: SourceSpec, max_pixels: int) -> VideoStream:
    """The moving picture that is read: the default one, else the largest, the first of those; no cover art.

    Args:
        container: open.
        spec: what it is of.
        max_pixels: of a picture; larger ones are not decoded, now or later.

    Raises:
        SourceError: there is none, nothing here decodes it, or its pictures are too large.
    """
    videos = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not videos:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise SourceError(f"{spec.display} has no video (it holds {kinds}): give a source that has")
    known = [s for s in videos if s.codec_context is not None]
    if not known:
        raise SourceError(f"{spec.display} is in a codec we cannot decode: convert it, for example to H.264")
    # What the programs of FFmpeg and players show.
    video = max(known, key=lambda s: (bool(s.disposition & Disposition.default), s.width * s.height))
    context = video.codec_context
    if context.width * context.height > max_pixels:
        raise SourceError(
            f"{spec.display} has pictures of {context.width}x{context.height}, more than {max_pixels} "
            f"pixels: {SMALLER}"
        )
    stated = StatedPictures.of(video, max_pixels)
    if (why := stated.refused(context.width, context.height)) is not None:
        raise SourceError(f"{spec.display} {why}: {SMALLER}")
    # It may change its size at any picture.
    context.options = {**context.options, "max_pixels": _decoder_limit(max_pixels)}
    for other in container.streams:
        if other.index != video.index:
            # Otherwise every quality of an HLS stream would be fetched.
            other.discard = Discard.all
    return video


def _decoder_limit(max_pixels: int) -> str:
    """The library counts rows as it stores them, in steps of 64 pixels."""
    return str(max_pixels + 128 * math.isqrt(max_pixels))


def is_live(container: InputContainer, spec: SourceSpec, stream: VideoStream) -> bool:
    """Whether pictures come at their own pace, and for as long as there is somebody to take them.

    Over HTTP a playlist says so, and else a length that the server does not give: then only a container that
    states how long it is has an end. Fragments of MP4 state their own length, and more may follow.
    """
    if spec.kind != "http":
        return spec.kind in ("rtsp", "camera")
    name, stated = container.format.name, container.duration is not None
    if name == "hls":
        return not stated
    return container.size < 0 and (not stated or ("mp4" in name and not stream.frames))


def explain(spec: SourceSpec, error: Exception) -> str:
    """Why a container could not be opened or read, and what to do; without credentials."""
    cause = redact(getattr(error, "strerror", None) or str(error))
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return f"{cause}: check user name and password (special characters percent-encoded)"
    if isinstance(error, av.error.HTTPNotFoundError):
        return f"{cause}: check the path of the URL"
    if isinstance(error, av.error.ConnectionRefusedError):
        return f"{cause}: check that the server runs and the port is right"
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return "the peer did not answer in time: check address and network, or allow more time to open"
    if isinstance(error, (av.error.InvalidDataError, av.error.ArgumentError)):
        if spec.kind == "http" and urlsplit(spec.location).path.lower().endswith((".m3u8", ".m3u")):
            return (
                "its playlist leads to no video that can be read: segments and keys have to be media at "
                "addresses of http or https that answer; open one of its segments to see why it is refused"
            )
        return f"{cause}: no video we can read, or cut off before its index (playlists: over http only)"
    if spec.host is not None and getattr(error, "errno", None) == _INPUT_OUTPUT_ERROR:
        return _resolve(spec) or f"{cause}: check address and network"
    return f"{cause}: check that it can be read"


def _address(spec: SourceSpec, options: SourceOptions) -> tuple[str, str | None, dict[str, str]]:
    """The name, format (None: probed) and settings FFmpeg gets."""
    if spec.kind == "camera":
        return f"/dev/video{spec.location}", "v4l2", {}
    settings = {"protocol_whitelist": _PROTOCOLS[spec.kind]}
    if spec.kind == "rtsp":
        settings |= {"rtsp_transport": options.rtsp_transport, "allowed_media_types": "video"}
        # By default FFmpeg watches some 20 frames to guess the rate before it hands out the first.
        settings |= {"fpsprobesize": "2"}
        return spec.location, "rtsp", settings
    if spec.kind == "http":
        settings |= {"format_whitelist": f"{_MEDIA},hls,mpjpeg,webvtt"}
        # Segments of HLS are told by what they hold; the lists of formats and protocols still apply to them.
        settings |= {"extension_picky": "0", "allowed_extensions": "ALL", "allowed_segment_extensions": "ALL"}
        # A download resumes where it broke off.
        settings |= {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "2"}
        return spec.location, None, settings
    settings |= {"format_whitelist": _MEDIA}
    # With the protocol said, no file name can be taken for another one.
    return f"file:{Path(spec.location).absolute()}", None, settings


def _check_path(spec: SourceSpec) -> None:
    try:
        status = Path(spec.location).stat()
    except OSError as error:
        raise SourceError(f"cannot open {spec.display}: {error.strerror}: check the path") from error
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        raise SourceError(f"{spec.display} is empty (0 bytes): give a video file")


def _check_camera(spec: SourceSpec) -> None:
    if sys.platform != "linux":
        raise SourceError(f"{spec.display} cannot be opened: cameras are read on Linux only")
    if not Path(f"/dev/video{spec.location}").exists():
        found = sorted(p.name.removeprefix("video") for p in Path("/dev").glob("video[0-9]*"))
        here = f"there are camera:{', camera:'.join(found)}" if found else "this machine has no camera"
        raise SourceError(f"{spec.display} does not exist (no /dev/video{spec.location}): {here}")


def _resolve(spec: SourceSpec) -> str | None:
    """The library says only "Input/output error" for a host name it cannot resolve."""
    try:
        socket.getaddrinfo(spec.host, None)
    except OSError as error:
        return f"host name {spec.host} cannot be resolved ({error.strerror}): check the address"
    return None
