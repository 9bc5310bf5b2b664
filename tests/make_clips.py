"""Small clips with what real ones have wrong or special; every maker writes one file and returns its path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

MILLISECOND = Fraction(1, 1000)


def steady(path: Path, frames: int = 30, rate: int = 10, size: tuple[int, int] = (160, 96)) -> Path:
    """A clip of constant rate with a key frame every 5 frames; its container follows the suffix."""
    return timed(path, [round(1000 * i / rate) for i in range(frames)], size)


def timed(
    path: Path,
    times_ms: Iterable[int],
    size: tuple[int, int] = (160, 96),
    turn: int = 0,
    axes: tuple[int, int, int, int] | None = None,
    pixel_aspect: Fraction | None = None,
    references: int = 3,
    codec: str = "libx264",
) -> Path:
    """A clip whose frames are shown at the given times (milliseconds), so its rate may vary.

    `turn` is what a phone writes when held upright: clockwise degrees to turn the picture for display. `axes`
    says the same with mirroring: where the axes of the stored picture point, each as (right, down). Pixels
    may be wider than high, and frames refer to so many others.
    """
    options = {"g": "5", "preset": "ultrafast", "refs": str(references)}
    if codec == "libx265":
        options["x265-params"] = f"ref={references}:bframes=0:log-level=error"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.time_base = stream.codec_context.time_base = MILLISECOND
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if turn:
            stream.set_display_rotation(-turn)
        if axes is not None:
            a, b, c, d = (axis << 16 for axis in axes)
            stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for number, time_ms in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = time_ms, MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def several(path: Path, sizes: Iterable[tuple[int, int]], default: int | None = None) -> Path:
    """Videos of these sizes in one container, one of them the default, or none."""
    with av.open(str(path), "w") as container:
        streams = []
        for number, size in enumerate(sizes):
            stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast", "bf": "0"})
            (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
            stream.disposition = Disposition.default if number == default else Disposition(0)
            streams.append(stream)
        for pts in range(10):
            for stream in streams:
                image = picture(pts, (stream.width, stream.height))
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = pts, Fraction(1, 10)
                container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode())
    return path


def reordered(path: Path, frames: int, size: tuple[int, int] = (160, 96)) -> Path:
    """A clip at 25 a second with B-frames, some of them references."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "30", "bf": "3"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def picture(number: int, size: tuple[int, int]) -> np.ndarray:
    """A bright bar that moves with `number` before a gradient; the left top corner is red."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 1] = np.linspace(0, 200, width, dtype=np.uint8)
    left = number * 4 % (width - 8)
    image[:, left : left + 8] = 255
    image[: height // 4, : width // 4] = (255, 0, 0)
    return image


def changing(
    path: Path, sizes: Iterable[tuple[int, int]], frames: int = 6, references: Iterable[int] = ()
) -> Path:
    """A transport stream, 10 pictures a second, that changes to the next size after every `frames`.

    And to the next number of references, where they are given; 3 otherwise.
    """
    with path.open("wb") as file:
        for number, (size, count) in enumerate(zip(sizes, chain(references, repeat(3)), strict=False)):
            part = path.with_suffix(f".{number}.ts")
            first = number * (frames + 10)
            timed(part, [100 * (first + n) for n in range(frames)], size, references=count)
            file.write(part.read_bytes())
    return path


def longer(path: Path, clip: Path, times: int) -> Path:
    """`clip` several times in a row, packets copied."""
    with av.open(str(path), "w") as out, av.open(str(clip)) as first:
        source = first.streams.video[0]
        stream = out.add_stream_from_template(source)
        length = source.duration
        for turn in range(times):
            for packet in _packets(clip):
                packet.pts += turn * length
                packet.dts += turn * length
                packet.stream = stream
                out.mux(packet)
    return path


def slower(path: Path, clip: Path, times: int) -> Path:
    """`clip` with every picture shown so many times as long, packets copied."""
    with av.open(str(path), "w") as out, av.open(str(clip)) as first:
        stream = out.add_stream_from_template(first.streams.video[0])
        for packet in _packets(clip):
            packet.pts *= times
            packet.dts *= times
            packet.stream = stream
            out.mux(packet)
    return path


def _packets(clip: Path) -> Iterator[av.Packet]:
    with av.open(str(clip)) as container:
        yield from (p for p in container.demux(video=0) if p.size)


def sound_only(path: Path) -> Path:
    """Half a second of silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for i in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 16000, i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def cut_off(path: Path, clip: Path, share: float) -> Path:
    """The first `share` of the bytes of `clip`."""
    whole = clip.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def index_first(path: Path, clip: Path) -> Path:
    """An MP4 whose index precedes its pictures, so that a cut-off copy still plays."""
    with av.open(str(path), "w", container_options={"movflags": "faststart"}) as out:
        with av.open(str(clip)) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
        for packet in _packets(clip):
            packet.stream = stream
            out.mux(packet)
    return path


def fragmented(path: Path, clip: Path) -> Path:
    """An MP4 in fragments, each with an index of its own."""
    return _copied(path, clip, {"movflags": "frag_keyframe+empty_moov"})


def at_pid(path: Path, clip: Path, pid: int) -> Path:
    """A transport stream whose video is packets of this id."""
    return _copied(path, clip, {"mpegts_start_pid": str(pid)})


def _copied(path: Path, clip: Path, options: dict[str, str]) -> Path:
    with av.open(str(path), "w", options=options) as out:
        with av.open(str(clip)) as source:
            stream = out.add_stream_from_template(source.streams.video[0])
        for packet in _packets(clip):
            packet.stream = stream
            out.mux(packet)
    return path


def damaged(path: Path, clip: Path, packets: Iterable[int]) -> Path:
    """A copy of `clip` in which the bytes of some packets are noise."""
    positions = [(p.pos, p.size) for p in _packets(clip)]
    whole = bytearray(clip.read_bytes())
    for packet in packets:
        start, size = positions[packet]
        whole[start : start + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(whole)
    return path


def first_times_missing(path: Path, frames: int) -> Path:
    """An MPEG transport stream whose first `frames` pictures carry no presentation time."""
    data = bytearray(steady(path).read_bytes())
    at = -1
    for _ in range(frames):
        at = data.index(b"\x00\x00\x01\xe0", at + 1)
        length = data[at + 8]
        data[at + 7] &= 0x3F
        data[at + 9 : at + 9 + length] = b"\xff" * length
    path.write_bytes(data)
    return path
