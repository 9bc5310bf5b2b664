"""Files: every frame at its own time, and a clear refusal of what is no video."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from pipeline.errors import SourceError
from pipeline.frame import Decoded, Display
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor
from pipeline.reader import FrameReader
from pipeline.sources import Notice, Source, SourceOptions, open_source, parse_source
from tests import make_clips

FAST = SourceOptions(open_timeout_s=5.0, decoder="cpu")


def opened(path: Path | str, notices: list[Notice] | None = None, options: SourceOptions = FAST) -> Source:
    return open_source(parse_source(str(path)), options, [].append if notices is None else notices.append)


def all_frames(path: Path, notices: list[Notice] | None = None) -> list[Decoded]:
    return list(opened(path, notices).frames())


def rgb(decoded: Decoded) -> np.ndarray:
    return decoded.picture.to_ndarray(format="rgb24")


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "flv"])
def test_every_frame_comes_once_and_in_order_at_the_time_of_its_container(
    tmp_path: Path, suffix: str
) -> None:
    clip = make_clips.steady(tmp_path / f"a.{suffix}", frames=30, rate=10)
    assert [d.times.pts_s for d in all_frames(clip)] == pytest.approx([i / 10 for i in range(30)], abs=0.002)


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    notices: list[Notice] = []
    source = opened(make_clips.steady(tmp_path / "My clip.mp4", frames=30, rate=10), notices)
    info = source.info
    assert (info.name, info.live, info.width, info.height) == ("my-clip", False, 160, 96)
    assert (info.frames, info.decoder) == (30, "cpu")
    assert info.duration_s == pytest.approx(3.0, abs=0.1)
    assert source.state == "starting"
    frames = list(source.frames())
    assert source.state == "ended"
    assert source.take_dropped() == {}
    assert notices == []
    assert all(d.times.captured_at is None and d.times.decode_ms >= 0 for d in frames)


def test_times_of_a_variable_rate_are_not_counted_from_a_mean_rate(tmp_path: Path) -> None:
    times_ms = [0, 40, 200, 210, 900, 905, 2000]
    clip = make_clips.timed(tmp_path / "vfr.mp4", times_ms)
    assert [d.times.pts_s for d in all_frames(clip)] == pytest.approx([t / 1000 for t in times_ms], abs=0.001)


def test_leading_frames_without_a_time_are_delivered_with_none(tmp_path: Path) -> None:
    frames = all_frames(make_clips.first_times_missing(tmp_path / "a.ts", 3))
    assert [d.times.pts_s for d in frames[:3]] == [None, None, None]
    assert [d.times.pts_s for d in frames[3:]] == pytest.approx([i / 10 for i in range(27)], abs=0.002)


def test_a_format_without_times_gives_none_and_no_invented_rate(tmp_path: Path) -> None:
    source = opened(make_clips.steady(tmp_path / "a.h264", frames=10))
    assert (source.info.rate, source.info.duration_s) == (None, None)
    assert [d.times.pts_s for d in source.frames()] == [None] * 10


@pytest.mark.parametrize(
    ("turn", "size"), [(0, (160, 96)), (90, (96, 160)), (180, (160, 96)), (270, (96, 160))]
)
def test_turning_a_picture_by_its_rotation_puts_it_upright(
    tmp_path: Path, turn: int, size: tuple[int, int]
) -> None:
    upright = make_clips.picture(0, (160, 96))
    source = opened(make_clips.timed(tmp_path / "turned.mp4", range(0, 500, 100), turn=turn))
    assert (source.info.width, source.info.height) == size
    first = next(source.frames())
    assert first.display == Display(turn)
    assert np.abs(rgb(first).astype(int) - upright).mean() < 8  # stored as it is, the turn is only stated
    source.close()


@pytest.mark.parametrize("axes", [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1)])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_picture_is_shown_as_its_display_matrix_says_mirrored_or_not(
    tmp_path: Path, axes: tuple[int, int, int, int], transposed: bool
) -> None:
    a, b, c, d = axes
    a, b, c, d = (b, a, d, c) if transposed else axes
    clip = make_clips.timed(tmp_path / "a.mp4", [0, 100], axes=(a, b, c, d))
    source = opened(clip)
    first = next(source.frames())
    source.close()
    # Where each stored pixel is shown, by the matrix itself.
    y, x = np.indices((96, 160))
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    expected = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    expected[down, right] = rgb(first)
    preprocess = Preprocessor(InputSpec(64, 64, "border"), keep_picture=True)
    image, geometry, upright = preprocess(first.picture, first.display)
    assert upright is not None
    assert np.abs(upright.astype(int) - expected).mean() < 1
    of_upright, expected_geometry, _ = preprocess(expected)
    assert np.abs(image.astype(int) - of_upright).mean() < 1
    assert geometry == expected_geometry
    assert (source.info.width, source.info.height) == (upright.shape[1], upright.shape[0])


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts"])
@pytest.mark.parametrize(
    ("aspect", "width"), [(Fraction(2), 320), (Fraction(10, 11), 145), (Fraction(99), 160)]
)
def test_a_picture_whose_pixels_are_not_square_is_shown_as_wide_as_it_should_be(
    tmp_path: Path, suffix: str, aspect: Fraction, width: int
) -> None:
    source = opened(make_clips.timed(tmp_path / f"a.{suffix}", range(0, 300, 100), pixel_aspect=aspect))
    assert (source.info.width, source.info.height) == (width, 96)
    first = next(source.frames())
    source.close()
    image, geometry, upright = Preprocessor(InputSpec(64, 64, "border"), keep_picture=True)(
        first.picture, first.display
    )
    assert upright is not None
    assert upright.shape == (96, width, 3)
    assert (geometry.source_width, geometry.source_height) == (width, 96)
    # The same as of a picture that was stored that wide.
    wide = cv2.resize(rgb(first), (width, 96), interpolation=cv2.INTER_LINEAR)
    expected, expected_geometry, _ = Preprocessor(InputSpec(64, 64, "border"))(wide)
    assert geometry == expected_geometry
    assert np.abs(image.astype(int) - expected).mean() < 2


def test_a_picture_goes_with_the_last_who_holds_it_and_not_when_cycles_are_collected(tmp_path: Path) -> None:
    source = opened(make_clips.steady(tmp_path / "a.mp4", frames=30, rate=10))
    gc.collect()
    gc.disable()
    try:
        before = sum(type(held) is av.VideoFrame for held in gc.get_objects())
        for _ in source.frames():
            pass
        after = sum(type(held) is av.VideoFrame for held in gc.get_objects())
    finally:
        gc.enable()
    assert after <= before + 2


def test_a_phone_clip_held_upright_turns_clockwise(tmp_path: Path) -> None:
    clip = make_clips.timed(tmp_path / "phone.mp4", range(0, 300, 100), turn=90)
    box = clip.read_bytes()
    matrix = box[box.index(b"tkhd") + 44 :][:16]
    # The matrix of QuickTime for "turn a quarter clockwise": x' = -y, y' = x.
    assert matrix == bytes.fromhex("00000000 00010000 00000000 ffff0000")
    assert next(opened(clip).frames()).display == Display(90)


def test_a_cut_off_clip_yields_every_whole_frame_and_then_a_warning(tmp_path: Path) -> None:
    whole = make_clips.index_first(tmp_path / "whole.mp4", make_clips.steady(tmp_path / "a.mp4"))
    notices: list[Notice] = []
    frames = all_frames(make_clips.cut_off(tmp_path / "cut.mp4", whole, 0.6), notices)
    assert [d.times.pts_s for d in frames] == pytest.approx([i / 10 for i in range(len(frames))], abs=0.002)
    assert notices[-1].kind == "truncated"
    assert f"{len(frames)} of 30 frames" in notices[-1].message


def test_a_clip_that_lacks_only_its_last_bytes_is_noticed_too(tmp_path: Path) -> None:
    whole = make_clips.index_first(tmp_path / "whole.mp4", make_clips.steady(tmp_path / "a.mp4"))
    notices: list[Notice] = []
    all_frames(make_clips.cut_off(tmp_path / "cut.mp4", whole, 0.999), notices)
    assert [n.kind for n in notices] == ["truncated"]


def test_a_cut_off_matroska_clip_is_noticed_by_its_length(tmp_path: Path) -> None:
    notices: list[Notice] = []
    whole = make_clips.steady(tmp_path / "a.mkv")
    frames = all_frames(make_clips.cut_off(tmp_path / "cut.mkv", whole, 0.5), notices)
    assert 0 < len(frames) < 30
    assert [n.kind for n in notices] == ["truncated"]


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_a_stretch_that_was_destroyed_is_told_and_counted(tmp_path: Path, suffix: str) -> None:
    clip = tmp_path / f"a.{suffix}"
    data = bytearray(make_clips.timed(clip, range(0, 6000, 40)).read_bytes())
    first, end = len(data) * 4 // 10, len(data) * 6 // 10
    data[first:end] = np.random.default_rng(0).bytes(end - first)
    clip.write_bytes(data)
    notices: list[Notice] = []
    source = opened(clip, notices)
    times = [d.times.pts_s for d in source.frames() if d.times.pts_s is not None]
    gap = max(b - a for a, b in itertools.pairwise(times))
    assert gap > 1
    assert any("frames are missing before" in n.message for n in notices if n.kind == "times")
    assert source.take_dropped()["gap"] == 1


@pytest.mark.parametrize("fps", [None, 5.0])
@pytest.mark.parametrize("lost", [11, 30, 51])
def test_a_hole_of_less_than_a_second_in_a_transport_stream_is_told_and_counted(
    tmp_path: Path, lost: int, fps: float | None
) -> None:
    clip = make_clips.timed(tmp_path / "a.ts", range(0, 4000, 40))
    packets = [clip.read_bytes()[at : at + 188] for at in range(0, clip.stat().st_size, 188)]
    # Those of a stream are counted from 0 to 15: a loss of just 16 of them does not show.
    middle = len(packets) // 2
    del packets[middle : middle + lost]
    clip.write_bytes(b"".join(packets))
    notices: list[Notice] = []
    source = opened(clip, notices, replace(FAST, fps=fps))
    times = [d.times.pts_s for d in source.frames() if d.times.pts_s is not None]
    assert max(b - a for a, b in itertools.pairwise(times)) < 1
    assert any("frames are missing before" in n.message for n in notices)
    assert source.take_dropped()["gap"] == 1


def test_a_fragmented_clip_that_is_cut_inside_a_fragment_is_noticed(tmp_path: Path) -> None:
    whole = make_clips.fragmented(
        tmp_path / "a.mp4", make_clips.timed(tmp_path / "b.mp4", range(0, 6000, 40))
    )
    notices: list[Notice] = []
    assert len(all_frames(whole, notices)) == 150
    assert notices == []
    source = opened(make_clips.cut_off(tmp_path / "cut.mp4", whole, 0.77), notices)
    assert 100 < len(list(source.frames())) < 120
    assert "truncated" in [n.kind for n in notices]
    assert source.take_dropped()["gap"] == 1


def test_a_stream_that_moves_to_another_pid_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "moved.ts"
    with path.open("wb") as file:
        for part, pid in enumerate((256, 500)):
            clip = make_clips.timed(tmp_path / f"{part}.mp4", range(3000 * part, 3000 * part + 3000, 40))
            file.write(make_clips.at_pid(tmp_path / f"{part}.ts", clip, pid).read_bytes())
    notices: list[Notice] = []
    source = opened(path, notices)
    assert len(list(source.frames())) == 75
    assert [n.kind for n in notices] == ["truncated"]
    assert "may go on as another" in notices[0].message
    assert source.take_dropped() == {"gap": 1}


def test_what_the_demuxer_trips_over_ends_the_source_with_a_notice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.sources import reader

    class Tripping:
        """Stands for two of thousands of mutated clips, in which a stream appears under way."""

        def __init__(self, container: Any) -> None:
            self._container = container

        def __getattr__(self, name: str) -> Any:
            return getattr(self._container, name)

        def demux(self, stream: Any) -> Iterator[Any]:
            yield from itertools.islice(self._container.demux(stream), 10)
            raise IndexError("list index out of range")

    real = reader.open_container
    monkeypatch.setattr(reader, "open_container", lambda *given: Tripping(real(*given)))
    notices: list[Notice] = []
    source = opened(make_clips.steady(tmp_path / "a.mp4"), notices)
    assert len(list(source.frames())) == 10
    assert [n.kind for n in notices] == ["truncated"]


def test_a_container_with_decoding_times_only_gives_times_that_never_fall(tmp_path: Path) -> None:
    notices: list[Notice] = []
    frames = all_frames(make_clips.reordered(tmp_path / "a.avi", frames=100), notices)
    times = [d.times.pts_s for d in frames]
    assert times == pytest.approx([n / 25 for n in range(100)], abs=0.09)
    assert all(a <= b for a, b in itertools.pairwise(times))
    assert notices == []


def test_where_times_go_back_no_frame_is_lost_to_sampling_and_it_is_told_once(tmp_path: Path) -> None:
    # Two recordings joined: at 2.0 s the clock is 1.5 s back, at 3.5 s again.
    path = tmp_path / "joined.ts"
    with path.open("wb") as file:
        for part, begin_ms in enumerate((0, 500, 500)):
            clip = make_clips.timed(tmp_path / f"{part}.ts", range(begin_ms, begin_ms + 2000, 50))
            file.write(clip.read_bytes())
    notices: list[Notice] = []
    source = opened(path, notices, SourceOptions(decoder="cpu", fps=10))
    reader = FrameReader(source, Preprocessor(InputSpec(32, 32)), fps=10)
    times: list[float] = []
    dropped: Counter[str] = Counter()
    while (batch := reader.batch(8)) is not None:
        for frame in batch:
            dropped.update(frame.dropped)
        times += [frame.times.pts_s for frame in batch if frame.times.pts_s is not None]
    assert len(times) == 60
    assert times == pytest.approx([n / 10 for n in range(60)], abs=0.06)
    assert [n.kind for n in notices] == ["times"]
    assert dropped == {"jump": 2}


def test_a_packet_of_noise_is_left_out_counted_and_told_once(tmp_path: Path) -> None:
    notices: list[Notice] = []
    clip = make_clips.damaged(tmp_path / "bad.mp4", make_clips.steady(tmp_path / "a.mp4"), packets=(7, 13))
    source = opened(clip, notices)
    assert len(list(source.frames())) == 28
    assert source.take_dropped() == {"corrupt": 2}
    assert source.take_dropped() == {}
    assert [n.kind for n in notices] == ["corrupt"]


@pytest.mark.parametrize(("fps", "default"), [(None, None), (None, 0), (5.0, 1)])
def test_of_several_videos_the_default_is_read_or_else_the_largest(
    tmp_path: Path, fps: float | None, default: int | None
) -> None:
    sizes = [(160, 96), (320, 192), (64, 64)]
    source = opened(make_clips.several(tmp_path / "a.mkv", sizes, default), options=replace(FAST, fps=fps))
    chosen = sizes[1 if default is None else default]
    assert (source.info.width, source.info.height) == chosen
    assert {(d.picture.width, d.picture.height) for d in source.frames() if d.picture} == {chosen}


@pytest.mark.parametrize("name", ["a.mjpeg", "a.mjpg"])
def test_pictures_in_a_row_are_a_video_without_times(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        for number in range(6):
            file.write(cv2.imencode(".jpg", make_clips.picture(number, (160, 96)))[1].tobytes())
    source = opened(tmp_path / name)
    assert source.info.rate is None
    assert [d.times.pts_s for d in source.frames()] == [None] * 6


def test_sampling_what_has_no_times_is_refused(tmp_path: Path) -> None:
    clip = make_clips.steady(tmp_path / "a.h264", frames=10)
    with pytest.raises(SourceError, match=r"without times no rate can be sampled; leave out --fps"):
        opened(clip, options=replace(FAST, fps=5.0))


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv"])
def test_pictures_larger_than_allowed_are_refused_before_any_is_decoded(tmp_path: Path, suffix: str) -> None:
    clip = make_clips.steady(tmp_path / f"a.{suffix}", frames=5)
    with pytest.raises(SourceError, match=r"pictures of 160x96, more than 15359 pixels.*--max-pixels"):
        opened(clip, options=replace(FAST, max_pixels=160 * 96 - 1))
    assert len(list(opened(clip, options=replace(FAST, max_pixels=160 * 96)).frames())) == 5


def test_a_large_picture_of_many_references_takes_no_memory(tmp_path: Path) -> None:
    clip = tmp_path / "large.mp4"
    options = {"preset": "ultrafast", "refs": "16", "rc-lookahead": "0", "bf": "0"}
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("libx264", rate=5, options=options)
        stream.width, stream.height, stream.pix_fmt = 8000, 6000, "yuv420p"
        stream.codec_context.thread_count = 1
        frame = av.VideoFrame(8000, 6000, "yuv420p")
        for pts in range(3):
            frame.pts, frame.time_base = pts, Fraction(1, 5)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    look = (
        "import resource, sys\n"
        "from pipeline.errors import SourceError\n"
        "from pipeline.sources import SourceOptions, open_source, parse_source\n"
        "def most(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = most()\n"
        "for options in SourceOptions(decoder='cpu'), SourceOptions(decoder='cpu', max_pixels=8000 * 6000):\n"
        "    try: open_source(parse_source(sys.argv[1]), options, print)\n"
        "    except SourceError as error: print(most() - before, error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", look, str(clip)], capture_output=True, text=True, check=True
    ).stdout
    by_size, by_references = told.splitlines()
    megabytes, _, message = by_size.partition(" ")
    assert "pictures of 8000x6000, more than 36000000 pixels" in message
    assert int(megabytes) < 60  # one such picture takes 72
    assert (
        "would have 17 pictures of 8000x6000 kept, 816000000 pixels and more than 432000000" in by_references
    )
    assert "take a smaller stream, or raise the limit (--max-pixels" in by_references


def test_a_picture_that_becomes_too_large_on_the_way_is_left_out(tmp_path: Path) -> None:
    clip = make_clips.changing(tmp_path / "a.ts", [(160, 96), (320, 192), (160, 96)])
    source = opened(clip, options=replace(FAST, max_pixels=160 * 96))
    sizes = {(d.picture.width, d.picture.height) for d in source.frames()}
    assert sizes == {(160, 96)}
    assert source.take_dropped()["corrupt"] > 0


def test_a_file_without_its_index_is_refused(tmp_path: Path) -> None:
    clip = make_clips.cut_off(tmp_path / "cut.mp4", make_clips.steady(tmp_path / "a.mp4"), 0.5)
    with pytest.raises(SourceError, match="cut off before its index"):
        opened(clip)


def test_what_is_no_video_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("this is not a video\n" * 100)
    (tmp_path / "notes.txt").write_text("FFmpeg would draw this text as a picture\n" * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(1).bytes(50_000))
    make_clips.sound_only(tmp_path / "sound.m4a")
    cases = {
        "missing.mp4": "No such file",
        ".": "no image in .*: of 5 files none is an image",
        "empty.mp4": "is empty",
        "text.mp4": "no video we can read",
        "notes.txt": "no video we can read",
        "noise.mp4": "no video we can read",
        "sound.m4a": r"has no video \(it holds audio\)",
    }
    for name, why in cases.items():
        with pytest.raises(SourceError, match=why) as refusal:
            opened(f"{tmp_path}/{name}")
        assert "\n" not in str(refusal.value)
        assert refusal.value.exit_code == 3


def test_a_local_playlist_or_script_opens_nothing_it_names(tmp_path: Path) -> None:
    clip = make_clips.steady(tmp_path / "a.ts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\na.ts\n#EXT-X-ENDLIST\n"
    scripts = {
        "list.m3u8": playlist,
        "list.mp4": playlist,
        "list.ffconcat": f"ffconcat version 1.0\nfile '{clip.name}'\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
        "list.mpd": "<?xml version='1.0'?><MPD></MPD>",
    }
    for name, text in scripts.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(SourceError, match="no video we can read"):
            opened(tmp_path / name)


def test_a_file_name_that_looks_like_a_protocol_is_only_a_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_clips.steady(tmp_path / "a.mp4", frames=5)
    (tmp_path / "a.mp4").rename(tmp_path / "subfile,,start,0,end,0,,:b.mp4")
    assert len(list(opened("subfile,,start,0,end,0,,:b.mp4").frames())) == 5


def test_a_pipe_nobody_writes_to_fails_at_the_deadline_and_leaves_no_thread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    before = set(threading.enumerate())
    with pytest.raises(SourceError, match=r"did not open within 0\.3 s"):
        opened(tmp_path / "pipe.mp4", options=SourceOptions(open_timeout_s=0.3, decoder="cpu"))
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive()


def test_a_pipe_is_read_to_its_end_and_can_be_closed_while_its_writer_is_silent(tmp_path: Path) -> None:
    clip, pipe = make_clips.steady(tmp_path / "a.ts"), tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes()))
    writer.start()
    assert len(all_frames(pipe)) == 30
    writer.join(10)

    silent = threading.Event()

    def write_and_wait() -> None:
        with pipe.open("wb") as file:
            file.write(clip.read_bytes())
            file.flush()
            silent.wait(20)

    writer = threading.Thread(target=write_and_wait)
    writer.start()
    source = opened(pipe)
    reading = threading.Thread(target=lambda: list(source.frames()))
    reading.start()
    source.close()
    reading.join(10)
    assert not reading.is_alive()
    silent.set()
    writer.join(10)


def test_closing_in_another_thread_ends_the_frames(tmp_path: Path) -> None:
    source = opened(make_clips.steady(tmp_path / "a.mp4", frames=200))
    seen = 0
    for _ in source.frames():
        seen += 1
        if seen == 3:
            closer = threading.Thread(target=source.close)
            closer.start()
            closer.join()
    assert seen == 3
    assert source.state == "ended"


def test_closing_before_the_first_frame_leaves_no_frames(tmp_path: Path) -> None:
    source = opened(make_clips.steady(tmp_path / "a.mp4"))
    source.close()
    source.close()
    assert list(source.frames()) == []


def test_asking_for_cuda_without_a_gpu_falls_back_with_a_notice_and_auto_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.sources import hardware

    monkeypatch.setattr(hardware, "_try_cuda", lambda _gpu: hardware._Tried({}, "no driver"))
    monkeypatch.setattr(hardware, "_DRIVER", tmp_path / "nvidiactl")
    clip = make_clips.steady(tmp_path / "a.mp4", frames=5)
    asked: list[Notice] = []
    auto: list[Notice] = []
    assert opened(clip, asked, SourceOptions(decoder="cuda")).info.decoder == "cpu"
    assert opened(clip, auto, SourceOptions(decoder="auto")).info.decoder == "cpu"
    assert [n.kind for n in asked] == ["decoder"]
    assert "no driver" in asked[0].message
    assert auto == []


def test_a_gpu_that_cannot_start_a_decoder_is_replaced_by_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.sources import hardware

    if hardware._try_cuda(None).why_not is None:
        pytest.skip("this machine decodes on its GPU: see the gpu tests")
    # The probe is made to say yes, so that opening the container meets the machine's real refusal.
    monkeypatch.setattr(hardware, "_try_cuda", lambda _gpu: hardware._Tried({"primary_ctx": "1"}, None))
    notices: list[Notice] = []
    source = opened(make_clips.steady(tmp_path / "a.mp4", frames=5), notices, SourceOptions(decoder="auto"))
    assert len(list(source.frames())) == 5
    assert [n.kind for n in notices] == ["decoder"]


@pytest.mark.gpu
def test_a_gpu_decodes_the_same_pictures_as_the_cpu() -> None:
    notices: list[Notice] = []
    gpu = opened("sample:bikes", notices, SourceOptions(decoder="cuda"))
    if gpu.info.decoder != "cuda":
        pytest.skip(f"no hardware decoder: {notices}")
    pairs = list(zip(gpu.frames(), opened("sample:bikes").frames(), strict=True))
    assert len(pairs) == 250
    for on_gpu, on_cpu in pairs[::50]:
        assert on_gpu.times.pts_s == on_cpu.times.pts_s
        assert np.abs(rgb(on_gpu).astype(int) - rgb(on_cpu)).mean() < 1


@pytest.mark.gpu
def test_two_sources_of_a_process_decode_in_one_context_of_the_gpu() -> None:
    """A context is some hundred megabytes; a decoder of a small picture is not."""
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    first = opened("sample:bikes", [], SourceOptions(decoder="cuda"))
    if first.info.decoder != "cuda":
        pytest.skip("no hardware decoder")
    before, _ = torch.cuda.mem_get_info()
    second = opened("sample:bikes", [], SourceOptions(decoder="cuda"))
    after, _ = torch.cuda.mem_get_info()
    assert second.info.decoder == "cuda"
    assert before - after < 100e6


def test_gpus_are_counted_without_cuda(tmp_path: Path) -> None:
    from pipeline.sources.hardware import gpus_visible

    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert gpus_visible(tmp_path, {}) == 2
    assert gpus_visible(tmp_path, {"CUDA_VISIBLE_DEVICES": "1"}) == 1
    assert gpus_visible(tmp_path, {"CUDA_VISIBLE_DEVICES": "GPU-1, GPU-2,"}) == 2
    assert gpus_visible(tmp_path, {"CUDA_VISIBLE_DEVICES": "-1"}) == 0
