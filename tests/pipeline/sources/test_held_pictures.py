"""What a decoder would keep is looked at before it has it: by the container, and in every packet."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import av
import pytest

from pipeline.errors import SourceError
from pipeline.sources.held_pictures import KEPT, StatedPictures
from pipeline.sources.source import Notice
from tests import make_clips
from tests.pipeline.sources.test_file import FAST, opened

SIZE = (160, 96)
MAX_PIXELS = 160 * 96
MANY = "would have 17 pictures of 160x96 kept, 261120 pixels and more than 138240"


def _clip(
    path: Path, references: int, size: tuple[int, int] = SIZE, codec: str = "libx264", frames: int = 3
) -> Path:
    return make_clips.timed(path, range(0, 100 * frames, 100), size, references=references, codec=codec)


@pytest.mark.parametrize("suffix", ["mp4", "ts", "mkv", "h264"])
def test_a_stream_of_many_references_is_refused_and_one_of_few_is_taken(tmp_path: Path, suffix: str) -> None:
    options = replace(FAST, max_pixels=MAX_PIXELS)
    with pytest.raises(SourceError, match=f"{MANY}: take a smaller stream, or raise the limit"):
        opened(_clip(tmp_path / f"many.{suffix}", 16), options=options)
    assert len(list(opened(_clip(tmp_path / f"few.{suffix}", KEPT - 1), options=options).frames())) == 3


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_the_same_holds_of_h265(tmp_path: Path, suffix: str) -> None:
    if "libx265" not in av.codecs_available:
        pytest.skip("this FFmpeg has no libx265")
    clip = _clip(tmp_path / f"a.{suffix}", 5, (320, 192), "libx265")
    # H.265 counts in units of its smallest blocks.
    assert len(list(opened(clip, options=replace(FAST, max_pixels=320 * 192)).frames())) == 3
    with av.open(str(clip)) as container:
        context = container.streams.video[0].codec_context
        stated = StatedPictures("hevc", context.extradata, 320 * 192 * 6 // KEPT - 1)
    assert stated.refused(0, 0) is not None
    assert "6 pictures of 320x192" in (stated.refused(0, 0) or "")


def test_an_ordinary_camera_of_4k_with_four_references_is_taken(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "a.mp4", 4, (3840, 2160), frames=1)
    source = opened(clip)
    assert (source.info.width, source.info.height) == (3840, 2160)
    assert len(list(source.frames())) == 1


def test_more_references_on_the_way_are_left_out_and_told(tmp_path: Path) -> None:
    clip = make_clips.changing(tmp_path / "a.ts", [SIZE] * 3, references=(3, 16, 3))
    told: list[Notice] = []
    source = opened(clip, told, options=replace(FAST, max_pixels=MAX_PIXELS))
    # The five frames after the key frame that is left out refer to it, or are decoded from what there is.
    assert 12 <= len(list(source.frames())) < 18
    assert source.take_dropped()["corrupt"] > 0
    assert any(f"left out a packet that {MANY}" in notice.message for notice in told)


def test_what_a_container_states_anew_on_the_way_is_looked_at(tmp_path: Path) -> None:
    few, many = (_clip(tmp_path / f"{count}.flv", count) for count in (3, 16))
    joined = tmp_path / "joined.flv"
    # Without the head of the file.
    joined.write_bytes(few.read_bytes() + many.read_bytes()[13:])
    with av.open(str(joined)) as container:
        stated = StatedPictures("h264", container.streams.video[0].codec_context.extradata, MAX_PIXELS)
        assert stated.refused(*SIZE) is None
        found = [stated.refused_in(packet) for packet in container.demux(video=0) if packet.size]
    assert [why for why in found if why is not None] == [MANY]
    told: list[Notice] = []
    list(opened(joined, told, options=replace(FAST, max_pixels=MAX_PIXELS)).frames())
    assert any(f"left out a packet that {MANY}" in notice.message for notice in told)


def test_a_parameter_set_anywhere_in_a_packet_is_found(tmp_path: Path) -> None:
    clip = _clip(tmp_path / "a.ts", 16)
    with av.open(str(clip)) as container:
        first = bytes(next(container.demux(video=0)))
    filler = b"\0\0\1\x0c" + b"\xff" * 100_000
    stated = StatedPictures("h264", None, MAX_PIXELS)
    assert stated.refused_in(av.Packet(filler + first)) == MANY
    # A container that says lengths, and a packet with start codes, or with what belongs into the container.
    lengths = b"\1\0\0\0\xff\xe0"
    assert StatedPictures("h264", lengths, MAX_PIXELS).refused_in(av.Packet(first)) == MANY
    with av.open(str(_clip(tmp_path / "a.mp4", 16))) as container:
        whole = container.streams.video[0].codec_context.extradata
    assert StatedPictures("h264", lengths, MAX_PIXELS).refused_in(av.Packet(whole)) == MANY


@pytest.mark.parametrize("rest", [b"", b"\0" * 40, b"\x64\0\x33" + b"\0\0\3" * 2000])
@pytest.mark.parametrize(("codec", "head"), [("h264", b"\x67"), ("hevc", b"\x42\1")])
def test_a_parameter_set_that_cannot_be_read_is_refused_at_once(codec: str, head: bytes, rest: bytes) -> None:
    began = time.thread_time()
    stated = StatedPictures(codec, b"\0\0\1" + head + rest, MAX_PIXELS)
    assert stated.refused(*SIZE) is not None
    assert time.thread_time() - began < 1.0


def test_codecs_that_keep_few_pictures_are_not_looked_at_and_vvc_counts_as_its_most() -> None:
    assert StatedPictures("vp9", b"\0\0\1\x67", MAX_PIXELS).refused(*SIZE) is None
    assert StatedPictures("vvc", None, MAX_PIXELS).refused(*SIZE) == MANY
