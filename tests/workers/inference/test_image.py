import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import UsageError
from pipeline.input_spec import InputSpec
from workers.inference.image import ImageReader

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
    image, geometry = ImageReader()(encoded(picture, suffix), SPEC)
    assert image.shape == (64, 64, 3)
    assert (geometry.source_width, geometry.source_height) == (160, 80)
    assert image[32, 8, 0] > 200 > 60 > image[32, 8, 2]
    assert image[32, 56, 2] > 200 > 60 > image[32, 56, 0]


def test_a_photo_is_turned_as_its_camera_noted(picture):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", exif=exif)
    image, geometry = ImageReader()(data.getvalue(), SPEC)
    assert (geometry.source_width, geometry.source_height) == (80, 160)
    assert image[8, 32, 0] > 200 > 60 > image[56, 32, 0]


def test_an_image_that_breaks_off_is_refused(picture):
    whole = encoded(picture, ".png")
    with pytest.raises(UsageError, match="damaged"):
        ImageReader()(whole[: len(whole) * 2 // 3], SPEC)


def test_one_reader_serves_models_of_different_inputs_in_turn(picture):
    read, data = ImageReader(), encoded(picture, ".png")
    first, other = read(data, SPEC), read(data, InputSpec(32, 48, crop_mode="squash"))
    again = read(data, SPEC)
    assert other[0].shape == (48, 32, 3)
    assert again[1] == first[1]
    np.testing.assert_array_equal(again[0], first[0])


def test_threads_share_a_reader(picture):
    read, data = ImageReader(), encoded(picture, ".jpg")
    alone = read(data, SPEC)[0]
    with ThreadPoolExecutor(4) as threads:
        for image, _ in threads.map(lambda _: read(data, SPEC), range(32)):
            np.testing.assert_array_equal(image, alone)
