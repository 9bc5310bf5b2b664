"""Clips are cut from the packets of real files: they decode, begin at a key frame and cover the seconds."""

from __future__ import annotations

import os
from pathlib import Path

import av
import pytest

from pipeline.clips.container import write_clip
from pipeline.clips.folder import ClipFolder
from pipeline.clips.packets import Cut, PacketRing, UncutError
from pipeline.sources import SourceOptions, open_source, parse_source
from tests import make_clips

MANY = 2**26


def read(clip: Path | str, most_bytes: int = MANY) -> PacketRing:
    """The packets of a clip that was read to its end."""
    ring = PacketRing(most_bytes)
    options = SourceOptions(decoder="cpu", packets=ring)
    source = open_source(parse_source(str(clip)), options, lambda _: None)
    assert sum(1 for _ in source.frames())
    return ring


def shown(path: Path) -> list[tuple[float, int]]:
    """When each picture of a file is shown, and a sum over it."""
    with av.open(str(path)) as container:
        return [
            (round(frame.time, 3), int(frame.to_ndarray(format="gray").sum()))
            for frame in container.decode(video=0)
        ]


def written(folder: Path, cut: Cut) -> Path:
    path = folder / f"cut.{cut.ending}"
    write_clip(path, cut.template, cut.packets)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_a_clip_has_the_pictures_of_its_seconds_from_the_key_frame_before(
    tmp_path: Path, suffix: str
) -> None:
    # Key frames every half second.
    clip = make_clips.steady(tmp_path / f"a.{suffix}", frames=60, rate=10)
    cut = read(clip).cut(1.7, 2.9, 3.3)
    assert cut.packets[0].key
    found, whole = shown(written(tmp_path, cut)), shown(clip)
    assert [picture for _, picture in found] == [picture for _, picture in whole[15 : 15 + len(found)]]
    # To the frame, but for what the reordering of some containers delays.
    assert 19 <= len(found) <= 21
    assert [at for at, _ in found] == pytest.approx([n / 10 for n in range(len(found))], abs=0.101)


def test_frames_that_are_shown_in_another_order_come_out_whole(tmp_path: Path) -> None:
    clip = make_clips.reordered(tmp_path / "a.mp4", frames=100)
    found = [picture for _, picture in shown(written(tmp_path, read(clip).cut(2.0, 2.2, 2.6)))]
    whole = [picture for _, picture in shown(clip)]
    first = whole.index(found[0])
    assert first / 25 <= 2.0
    needed = round(2.6 * 25) + 1 - first
    assert found[:needed] == whole[first : first + needed]


def test_a_codec_that_mp4_does_not_take_is_cut_into_matroska(tmp_path: Path) -> None:
    clip = tmp_path / "a.avi"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("msmpeg4", rate=10, options={"g": "10"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(40):
            picture = make_clips.picture(number, (160, 96))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    path = written(tmp_path, read(clip).cut(1.0, 1.5, 2.0))
    assert path.suffix == ".mkv"
    assert [picture for _, picture in shown(path)] == [picture for _, picture in shown(clip)[10:21]]


def test_what_is_wanted_no_longer_is_forgotten_up_to_the_key_frame_before(tmp_path: Path) -> None:
    ring = read(make_clips.steady(tmp_path / "a.mp4", frames=60, rate=10))
    ring.forget_before(3.2)
    assert ring.cut(3.2, 3.4, 4.0).packets[0].at == pytest.approx(3.0, abs=0.2)
    with pytest.raises(UncutError, match="no key frame came before it"):
        ring.cut(1.0, 1.5, 2.0)


def test_memory_is_bounded_and_a_clip_that_is_out_of_it_says_so(tmp_path: Path) -> None:
    clip = make_clips.steady(tmp_path / "a.mp4", frames=200, rate=10)
    most = clip.stat().st_size // 4
    ring = read(clip, most)
    assert 0 < ring.cut(0, 19.0, 99).size <= most
    with pytest.raises(UncutError, match=f"its packets took more than {most} bytes"):
        ring.cut(0.0, 1.0, 2.0)


def test_moments_of_a_round_are_by_the_clock_of_the_stream(tmp_path: Path) -> None:
    clip = make_clips.steady(tmp_path / "a.mp4", frames=30, rate=10)
    ring = read(clip)
    ring.place(60.0)
    assert len(ring.cut(61.0, 61.2, 61.5).packets) >= 5
    with pytest.raises(UncutError):
        ring.cut(1.0, 1.2, 1.5)


def test_pictures_that_are_images_have_no_packets(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with av.open(str(make_clips.steady(tmp_path / "a.mp4", frames=2))) as container:
        for number, frame in enumerate(container.decode(video=0)):
            frame.to_image().save(tmp_path / "photos" / f"{number}.png")
    ring = read(tmp_path / "photos")
    assert ring.refusal == "its source has no packets of video to cut from, as images have none"


def test_pictures_that_come_uncompressed_are_not_cut(tmp_path: Path) -> None:
    clip = tmp_path / "raw.y4m"
    with av.open(str(clip), "w") as container:
        stream = container.add_stream("wrapped_avframe", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        frame = av.VideoFrame.from_ndarray(make_clips.picture(0, (160, 96)), format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p")))
        container.mux(stream.encode())
    ring = read(clip)
    assert ring.refusal == "its pictures come uncompressed, so there are no packets to cut"
    with pytest.raises(UncutError, match="uncompressed"):
        ring.cut(0, 0, 1)


def test_a_stream_without_times_is_not_cut(tmp_path: Path) -> None:
    assert "states no times" in (read(make_clips.steady(tmp_path / "a.h264")).refusal or "")


def test_a_folder_keeps_the_newest_clips_and_nothing_else_is_touched(tmp_path: Path) -> None:
    cut = read(make_clips.steady(tmp_path / "a.mp4", frames=30, rate=10)).cut(1.0, 1.2, 1.5)
    own = tmp_path / "clips" / "yard" / "holiday.mp4"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    abandoned = own.with_name(f"{9:020}.77.part")
    abandoned.touch()
    os.utime(abandoned, (0, 0))
    first = ClipFolder(tmp_path / "clips", 2**30).write("yard", "0" * 20, cut)
    os.utime(first, ns=(0, 0))
    folder = ClipFolder(tmp_path / "clips", 3 * first.stat().st_size)
    for number in range(1, 6):
        path = folder.write("yard" if number % 2 else "gate", f"{number:020}", cut)
        os.utime(path, ns=(number, number))
    kept = [number for number in range(6) if any(folder.find(s, f"{number:020}") for s in ("yard", "gate"))]
    assert kept == [3, 4, 5]
    assert own.read_bytes() == b"mine"
    assert {path.suffix for path in (tmp_path / "clips").rglob("*") if path.is_file()} == {".mp4"}
    with pytest.raises(ValueError, match="more than all clips may have"):
        ClipFolder(tmp_path / "clips", 10).write("yard", "a" * 20, cut)
    folder.forget("yard")
    assert folder.find("yard", f"{5:020}") is None


def test_a_clip_is_only_found_by_what_can_be_an_event(tmp_path: Path) -> None:
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "clips" / "yard").mkdir(parents=True)
    assert ClipFolder(tmp_path / "clips", MANY).find("yard", "../../secret") is None
