import io

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.input_spec import InputSpec
from workers.ingest.image import prepare

SPEC = InputSpec(64, 64, crop_mode="squash")


@pytest.fixture
def picture() -> np.ndarray:
    """Red on the left, blue on the right, RGB."""
    picture = np.zeros((80, 160, 3), np.uint8)
    picture[:, :80, 0] = picture[:, 80:, 2] = 255
    return picture


def encoded(picture: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, picture[..., ::-1])[1].tobytes()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_an_image_becomes_an_rgb_input(picture, suffix):
    image, geometry = prepare(encoded(picture, suffix), SPEC, 10**6)
    assert image.shape == (64, 64, 3)
    assert (geometry.source_width, geometry.source_height) == (160, 80)
    assert image[32, 8, 0] > 200 > 60 > image[32, 8, 2]
    assert image[32, 56, 2] > 200 > 60 > image[32, 56, 0]


def test_a_photo_is_turned_as_its_camera_noted(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", exif=exif)
    image, geometry = prepare(data.getvalue(), SPEC, 10**6)
    assert (geometry.source_width, geometry.source_height) == (80, 160)
    assert image[8, 32, 0] > 200 > 60 > image[56, 32, 0]


def test_an_image_of_too_many_pixels_is_refused_by_its_head_alone(picture):
    head = encoded(picture, ".png")[:60]
    with pytest.raises(UsageError, match="more than 12799 pixels"):
        prepare(head, SPEC, 160 * 80 - 1)


def test_an_image_that_claims_to_be_gigantic_is_refused():
    data = bytearray(encoded(np.zeros((2, 2, 3), np.uint8), ".bmp"))
    data[18:26] = (50_000).to_bytes(4, "little") * 2
    with pytest.raises(UsageError, match="more than 1000000 pixels"):
        prepare(bytes(data), SPEC, 10**6)


def test_what_is_no_image_is_refused():
    with pytest.raises(UsageError, match="send a JPEG, PNG, WebP or BMP"):
        prepare(b"GIF89a, or so it says", SPEC, 10**6)


def test_an_image_that_breaks_off_is_refused(picture):
    whole = encoded(picture, ".png")
    with pytest.raises(UsageError, match="damaged"):
        prepare(whole[: len(whole) * 2 // 3], SPEC, 10**6)
