"""Decoding what the sampled frames need: they are those of a full decode, and others are left out."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.frame import Decoded, Display
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import Decoding, SourceOptions, open_source, parse_source
from pipeline.sources.source import Decode
from tests import make_clips

FRAMES, RATE = 100, 25
CLIPS: dict[str, tuple[str, str, dict[str, str]]] = {
    "h264 with B-frames": ("a.mp4", "libx264", {"g": "30"}),
    "h264 in a transport stream": ("a.ts", "libx264", {"g": "30"}),
    "h264 without B-frames": ("a.mp4", "libx264", {"g": "25", "bf": "0", "x264-params": "scenecut=0"}),
    "h264 with open groups": ("a.mp4", "libx264", {"x264-params": "open-gop=1:keyint=20:scenecut=0"}),
    "h264 with gradual refresh": ("a.mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
    "h265 with open groups": ("a.mp4", "libx265", {"x265-params": "log-level=none:keyint=20"}),
    "mpeg4 with B-frames": ("a.mp4", "mpeg4", {"g": "15", "bf": "2"}),
    "mpeg2 with B-frames": ("a.ts", "mpeg2video", {"g": "15", "bf": "2"}),
    "vp9": ("a.webm", "libvpx-vp9", {"g": "20", "deadline": "realtime", "cpu-used": "8"}),
    "msmpeg4 in avi": ("a.avi", "msmpeg4", {"g": "20"}),
    "mjpeg": ("a.avi", "mjpeg", {}),
}


def clip(folder: Path, name: str, times: range = range(FRAMES)) -> Path:
    """Frames that differ from each other, encoded as `CLIPS` says; `times` in 1/25 s."""
    file, codec, options = CLIPS[name]
    with av.open(str(folder / file), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = 160, 96
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if "bf" in options:
            stream.codec_context.max_b_frames = int(options["bf"])
        for number, ticks in enumerate(times):
            frame = av.VideoFrame.from_ndarray(make_clips.picture(number, (160, 96)), format="rgb24")
            frame.pts, frame.time_base = ticks, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder / file


def sampled(
    path: Path, fps: float | None, decode: Decode, threads: int = 1
) -> tuple[list[tuple[float | None, np.ndarray]], float | None, Decoding]:
    """Time and picture of every sampled frame, the end of the clip, and what was decoded."""
    source = open_source(
        parse_source(str(path)), SourceOptions(decoder="cpu", fps=fps, decode=decode, threads=threads), print
    )
    reader = FrameReader(source, Preprocessor(InputSpec(32, 32), keep_picture=True), fps=fps)
    frames = []
    while (batch := reader.batch(8)) is not None:
        frames += [(frame.times.pts_s, frame.picture) for frame in batch]
    return frames, reader.end_s, source.decoding


def same(one: list[tuple[float | None, np.ndarray]], other: list[tuple[float | None, np.ndarray]]) -> bool:
    return len(one) == len(other) and all(
        a[0] == b[0] and np.array_equal(a[1], b[1]) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CLIPS)
def test_what_is_sampled_is_bit_by_bit_what_a_full_decode_samples(
    tmp_path: Path, name: str, threads: int
) -> None:
    path = clip(tmp_path, name)
    for fps in (12.0, 5.0, 1.0, 0.4):
        everything, end_s, all_decoded = sampled(path, fps, "all", threads)
        needed, needed_end_s, decoding = sampled(path, fps, "needed", threads)
        assert same(everything, needed)
        assert end_s == needed_end_s
        assert (decoding.how, decoding.reason, decoding.frames) == ("needed", None, FRAMES)
        assert all_decoded.decoded == FRAMES
    assert decoding.decoded < FRAMES


def test_frames_at_times_of_a_variable_rate_are_sampled_alike(tmp_path: Path) -> None:
    times = [n * n % 7 + 9 * n for n in range(60)]
    path = clip(tmp_path, "h264 with B-frames", times)  # type: ignore[arg-type]
    for fps in (3.0, 1.0, 0.3):
        assert same(sampled(path, fps, "all")[0], sampled(path, fps, "needed")[0])


def test_groups_of_pictures_in_which_nothing_is_sampled_are_not_decoded(tmp_path: Path) -> None:
    *_, decoding = sampled(clip(tmp_path, "h264 without B-frames"), 1.0, "needed")
    assert (decoding.decoded, decoding.frames) == (4, 100)


def test_within_a_group_what_nothing_refers_to_is_not_decoded(tmp_path: Path) -> None:
    *_, decoding = sampled(clip(tmp_path, "mpeg4 with B-frames"), 5.0, "needed")
    assert decoding.decoded < 60


def test_without_a_rate_every_frame_is_decoded_and_nothing_is_claimed(tmp_path: Path) -> None:
    frames, _, decoding = sampled(clip(tmp_path, "h264 with B-frames"), None, "needed")
    assert len(frames) == FRAMES
    assert (decoding.how, decoding.reason, decoding.share) == ("all", None, 1.0)


@pytest.mark.parametrize("name", ["h264 with B-frames", "h264 with open groups", "mjpeg"])
def test_key_frames_alone_are_sampled_at_their_own_times(tmp_path: Path, name: str) -> None:
    path = clip(tmp_path, name)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        keys = sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.size and p.is_keyframe)
    start = keys[0]
    frames, end_s, decoding = sampled(path, None, "keyframes")
    assert [pts for pts, _ in frames] == pytest.approx([key - start for key in keys])
    assert end_s == pytest.approx((FRAMES - 1) / RATE)
    assert (decoding.how, decoding.decoded) == ("keyframes", len(keys))
    whole = dict(sampled(path, None, "all")[0])
    assert all(np.array_equal(picture, whole[pts]) for pts, picture in frames)
    assert len(sampled(path, 0.5, "keyframes")[0]) == 2


def test_a_container_that_does_not_say_when_frames_are_shown_is_decoded_whole_and_says_so(
    tmp_path: Path,
) -> None:
    path = make_clips.reordered(tmp_path / "a.avi", FRAMES)
    *_, decoding = sampled(path, 1.0, "needed")
    assert (decoding.how, decoding.decoded) == ("all", FRAMES)
    assert decoding.reason is not None
    assert "avi" in decoding.reason


def test_a_damaged_clip_is_decoded_whole_from_there_and_loses_no_sample(tmp_path: Path) -> None:
    path = make_clips.damaged(tmp_path / "bad.mp4", clip(tmp_path, "h264 without B-frames"), packets=(25, 60))
    everything, *_ = sampled(path, 2.0, "all")
    needed, _, decoding = sampled(path, 2.0, "needed")
    assert [pts for pts, _ in needed] == [pts for pts, _ in everything]
    assert (decoding.how, decoding.reason) == ("all", "it is damaged")


def test_frames_that_are_passed_over_are_never_converted(tmp_path: Path) -> None:
    path = clip(tmp_path, "h264 with B-frames")
    converted: list[int] = []
    preprocess = Preprocessor(InputSpec(32, 32))

    def counting(picture: av.VideoFrame, display: Display) -> object:
        converted.append(picture.pts)
        return preprocess(picture, display)

    source = open_source(parse_source(str(path)), SourceOptions(decoder="cpu", fps=2.0), print)
    reader = FrameReader(source, counting, fps=2.0)  # type: ignore[arg-type]
    while reader.batch(8) is not None:
        pass
    assert len(converted) == 8
    assert source.decoding.decoded > 8


def test_packets_held_back_have_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.sources import needed

    monkeypatch.setattr(needed, "_MOST_PACKETS", 10)
    path = clip(tmp_path, "h264 with B-frames")
    everything, *_ = sampled(path, 0.4, "all")
    few, _, decoding = sampled(path, 0.4, "needed")
    assert same(everything, few)
    assert decoding.decoded > 30  # references that were not held until it was known that none needs them


def pictures(path: Path, options: SourceOptions) -> Iterator[Decoded]:
    source = open_source(parse_source(str(path)), options, print)
    yield from source.frames()


def test_decoding_time_of_what_a_frame_refers_to_is_its_own(tmp_path: Path) -> None:
    path = clip(tmp_path, "h264 with gradual refresh")
    first, second = (d for d in pictures(path, SourceOptions(decoder="cpu", fps=0.4, threads=1)) if d.picture)
    # Sixty frames were decoded for the second, one for the first.
    assert second.times.decode_ms > first.times.decode_ms
