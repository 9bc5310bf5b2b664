"""Images as a source: one, a folder, or a pattern; each is a frame."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline import run
from pipeline.errors import SourceError, UsageError
from pipeline.sources import SourceOptions, open_source, parse_source


def picture(value: int, width: int = 32, height: int = 24) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, value: int, **size: int) -> None:
    assert cv2.imwrite(str(path), picture(value, **size))


@pytest.fixture
def folder(tmp_path):
    """Images 1, 2 and 10 of brightness 10 times that, of two sizes, beside what is no image."""
    write(tmp_path / "frame10.png", 100)
    write(tmp_path / "frame2.webp", 20, width=40, height=60)
    write(tmp_path / "frame1.jpg", 10)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._frame1.jpg").write_bytes(b"what a Mac leaves behind")
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "frame0.bmp", 0)
    return tmp_path


def read(source, notices=None, **options):
    """Brightness and size (width, height) of each frame."""
    opened = open_source(
        parse_source(str(source)),
        SourceOptions(**options),
        lambda notice: None if notices is None else notices.append(notice),
    )
    frames = list(opened.frames())
    assert all(frame.times.pts_s is None for frame in frames)
    shapes = [frame.picture.shape for frame in frames]
    values = [round(float(frame.picture.mean())) for frame in frames]
    return opened, [(value, shape[1], shape[0]) for value, shape in zip(values, shapes, strict=True)]


def test_a_folder_gives_its_images_in_the_order_of_their_numbers_and_says_what_it_left_out(folder):
    notices = []

    opened, frames = read(folder, notices)

    assert frames == [(10, 32, 24), (20, 40, 60), (100, 32, 24)]
    assert [notice.message for notice in notices] == [f"{folder}: 3 images, 2 other files left out"]
    info = opened.info
    assert (info.live, info.frames, info.rate, info.duration_s) == (False, 3, None, None)
    assert (info.width, info.height) == (32, 24)
    assert opened.take_dropped() == {}


def test_a_pattern_gives_what_it_matches_in_folders_too(folder):
    assert [value for value, *_ in read(folder / "*.[jp]*g")[1]] == [10, 100]
    assert [value for value, *_ in read(folder / "**" / "frame*")[1]] == [10, 20, 100, 0]
    assert parse_source("photos/*.jpg").name == parse_source("photos").name == "photos"


def test_an_image_is_a_source_of_one_frame(folder):
    opened, frames = read(folder / "frame2.webp")
    assert frames == [(20, 40, 60)]
    assert opened.decoding.decoded == 1


def test_a_file_is_taken_by_its_very_name_before_it_is_taken_for_a_pattern(tmp_path):
    write(tmp_path / "yard[1].png", 50)
    write(tmp_path / "yard1.png", 60)
    assert [value for value, *_ in read(tmp_path / "yard[1].png")[1]] == [50]


def test_an_image_is_shown_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(90)).save(tmp_path / "turned.jpg", exif=exif)
    assert read(tmp_path / "turned.jpg")[1] == [(90, 24, 32)]


def test_grey_and_transparent_images_and_those_of_sixteen_bits_become_rgb(tmp_path):
    cv2.imwrite(str(tmp_path / "1.png"), np.full((8, 8), 70, np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.full((8, 8, 4), 70, np.uint8))
    cv2.imwrite(str(tmp_path / "3.png"), np.full((8, 8, 3), 70 * 257, np.uint16))
    assert read(tmp_path)[1] == [(70, 8, 8)] * 3


def test_damaged_images_are_counted_and_told_once(folder):
    (folder / "frame0.jpg").write_bytes(b"no image")
    (folder / "frame3.png").write_bytes(b"")
    notices = []

    opened, frames = read(folder, notices)

    assert [value for value, *_ in frames] == [10, 20, 100]
    assert opened.take_dropped() == {"corrupt": 2}
    told = [notice.message for notice in notices if notice.kind == "corrupt"]
    assert told == [f"{folder}: left out frame0.jpg: it is damaged, or no image"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("empty", "there is no file"),
        ("texts", "of 1 files none is an image that may be read; images are JPEG, PNG, WebP or BMP"),
        ("none*.jpg", "there is no file"),
        ("gone.jpg", "there is no file"),
        ("a**b.jpg", "is no pattern"),
        ("bad.jpg", r"no picture of .*bad.jpg could be decoded"),
        ("bads", "none of the 2 images of"),
        ("a" * 300, "File name too long: check the path"),
        ("a" * 300 + ".png", "File name too long: check the path"),
        ("*/" + "a" * 300 + ".png", "File name too long: check the path"),
    ],
)
def test_where_there_is_no_image_one_line_says_so(tmp_path, source, says):
    for name in ("empty", "texts", "bads"):
        (tmp_path / name).mkdir()
    (tmp_path / "texts" / "a.txt").write_text("a")
    for path in ("bad.jpg", "bads/1.png", "bads/2.png"):
        (tmp_path / path).write_bytes(b"no image")

    with pytest.raises(SourceError, match=says):
        read(tmp_path / source)


def test_an_image_with_too_many_pixels_is_not_decoded(folder):
    notices = []
    opened, frames = read(folder, notices, max_pixels=32 * 24)
    assert [value for value, *_ in frames] == [10, 100]
    assert opened.take_dropped() == {"corrupt": 1}
    assert "more than 768 pixels" in notices[-1].message


def test_images_have_no_times_to_be_sampled_by(folder):
    with pytest.raises(UsageError, match="have no times"):
        read(folder, fps=1.0)


def test_links_that_lead_out_of_what_may_be_read_are_left_out(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "secret.png", 200)
    (folder / "frame3.png").symlink_to(outside / "secret.png")

    assert [value for value, *_ in read(folder)[1]] == [10, 20, 200, 100]
    assert [value for value, *_ in read(folder, within=[folder.resolve()])[1]] == [10, 20, 100]
    with pytest.raises(SourceError, match="none is an image that may be read"):
        read(folder / "frame3.png", within=[folder.resolve()])


def test_a_source_that_is_closed_gives_no_more_images(folder):
    opened = open_source(parse_source(str(folder)), SourceOptions(), lambda _: None)
    frames = opened.frames()
    next(frames)
    opened.close()
    assert list(frames) == []
    assert opened.state == "ended"


@pytest.mark.parametrize("tokenizer", ["full", "recall"])
def test_images_of_several_sizes_each_get_a_grid_of_their_own(folder, tokenizer):
    results = list(run(folder, tokenizer=tokenizer, batch=3, precision="fp32", runtime="torch"))

    assert [result.tokens_full for result in results] == [16 * 12, 11 * 16, 16 * 12]
    assert [(result.frame, result.pts_s) for result in results] == [(0, None), (1, None), (2, None)]
    if tokenizer == "recall":
        assert [result.decision for result in results] == ["full", "full", "full"]
