"""What a fit and a size make of a model's input, and of pictures."""

import cv2
import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.fit import FITS, Inputs, parse_size
from pipeline.frame import Canvas, Display
from pipeline.input_spec import InputSpec
from pipeline.preprocess import Preprocessor

ALL = Inputs(InputSpec(224, 224, "center", 0.9), 14, FITS)
SHAPES = [(640, 272), (1280, 720), (176, 144), (768, 576), (272, 640), (224, 224)]


def spot(width, height, x, y, side=16):
    """A grey picture with a red square, its middle at a share x, y of it."""
    picture = np.full((height, width, 3), 100, np.uint8)
    left, top = round(x * width), round(y * height)
    picture[top - side // 2 : top + side // 2, left - side // 2 : left + side // 2] = (255, 0, 0)
    return picture


def test_nothing_asked_for_is_the_models_own_input():
    spec = ALL.spec("some")

    assert (spec.width, spec.height, spec.crop_mode, spec.crop_pct) == (224, 224, "center", 0.9)


def test_another_fit_shows_all_that_it_can_of_a_picture():
    # 0.9 belongs to the crop that the model was evaluated with.
    assert [(ALL.spec("some", fit).crop_mode, ALL.spec("some", fit).crop_pct) for fit in FITS] == [
        ("native", 1.0),
        ("border", 1.0),
        ("center", 0.9),
        ("squash", 1.0),
    ]


@pytest.mark.parametrize(("size", "sides"), [(448, (448, 448)), ("448", (448, 448)), ("448x252", (448, 252))])
def test_a_size_is_a_side_or_both(size, sides):
    spec = ALL.spec("some", "native", size)

    assert (spec.width, spec.height) == sides


@pytest.mark.parametrize("size", ["", "big", "-14", "14x", "14x14x14", "0", "2049", "14x4096", "１４", 0])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(UsageError, match="--size"):
        parse_size(size)


@pytest.mark.parametrize("fit", FITS)
def test_a_size_that_is_not_in_whole_patches_is_refused_with_the_nearest(fit):
    with pytest.raises(UsageError, match=r"--size 250 .* whole patches of 14 pixels; use 252x252"):
        ALL.spec("some", fit, 250)


def test_a_model_that_takes_one_size_says_so():
    fixed = Inputs(InputSpec(224, 224), None, resizes=False)

    assert fixed.spec("some", "stretch", 224).crop_mode == "squash"
    with pytest.raises(UsageError, match="model 'some' runs at 224x224 only; leave out --size"):
        fixed.spec("some", None, 448)


@pytest.mark.parametrize("fit", ["native", "zoom"])
def test_a_fit_that_a_model_does_not_take_is_refused_with_those_it_takes(fit):
    plain = Inputs(InputSpec(224, 224))

    with pytest.raises(UsageError, match=f"does not take --fit {fit}; use letterbox or crop or stretch"):
        plain.spec("some", fit)


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("size", [224, 448, "448x224"])
def test_a_native_input_is_the_picture_in_whole_patches_and_fits_into_the_size(width, height, size):
    spec = ALL.spec("some", "native", size)

    image, geometry, _ = Preprocessor(spec)(np.full((height, width, 3), 200, np.uint8))

    rows, columns, _ = image.shape
    scale = min(spec.width / width, spec.height / height)
    assert (rows % 14, columns % 14) == (0, 0)
    assert abs(rows - scale * height) <= 7
    assert abs(columns - scale * width) <= 7
    assert spec.holds(columns, rows)
    assert (image == 200).all()
    assert geometry.content_box() == pytest.approx((0, 0, columns, rows))
    assert geometry.canvas is None


@pytest.mark.parametrize(
    ("width", "height", "grid"),
    [
        (640, 272, (7, 16)),
        (1280, 720, (9, 16)),
        (176, 144, (13, 16)),
        (768, 576, (12, 16)),
        (9, 4000, (16, 1)),
    ],
)
def test_the_short_side_is_rounded_to_whole_patches_one_at_least(width, height, grid):
    image, _, _ = Preprocessor(ALL.spec("some", "native"))(np.zeros((height, width, 3), np.uint8))

    assert (image.shape[0] // 14, image.shape[1] // 14) == grid


@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_letterbox_is_the_padded_input_less_the_patches_that_show_padding_only(width, height):
    picture = np.random.default_rng(0).integers(1, 255, (height, width, 3), dtype=np.uint8)
    padded, whole, _ = Preprocessor(InputSpec(224, 224, "border"))(picture)

    image, geometry, _ = Preprocessor(ALL.spec("some", "letterbox"))(picture)

    canvas = geometry.canvas or Canvas(224, 224, 0, 0)
    rows, columns, _ = image.shape
    shown = np.s_[canvas.top : canvas.top + rows, canvas.left : canvas.left + columns]
    np.testing.assert_array_equal(image, padded[shown])
    padded[shown] = 0
    assert not padded.any()
    # Every patch that is left shows some of the picture.
    patches = image.reshape(rows // 14, 14, columns // 14, 14, 3)
    assert patches.any(axis=(1, 3, 4)).all()
    assert (canvas.top % 14, canvas.left % 14) == (0, 0)
    assert (geometry.offset_x, geometry.offset_y) == (
        whole.offset_x - canvas.left,
        whole.offset_y - canvas.top,
    )


def test_a_model_without_patches_gets_the_padding_too():
    spec = Inputs(InputSpec(224, 224)).spec("some", "letterbox")

    image, geometry, _ = Preprocessor(spec)(np.zeros((100, 200, 3), np.uint8))

    assert image.shape == (224, 224, 3)
    assert geometry.canvas is None


@pytest.mark.parametrize("rotation", [0, 90])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.4, 0.3), (0.6, 0.7)])
@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("fit", FITS)
def test_what_is_in_the_input_is_led_back_to_where_it_is_in_the_picture(fit, width, height, x, y, rotation):
    upright = spot(width, height, x, y)
    stored = cv2.rotate(upright, cv2.ROTATE_90_COUNTERCLOCKWISE) if rotation else upright

    image, geometry, _ = Preprocessor(ALL.spec("some", fit))(stored, Display(rotation))

    rows, columns = np.nonzero(image[..., 0] > image[..., 2].astype(int) + 40)
    assert len(rows)
    assert geometry.to_source(columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx((x, y), abs=0.02)


def test_a_source_that_changes_its_size_gets_another_grid():
    preprocess = Preprocessor(ALL.spec("some", "native"))

    shapes = [preprocess(np.zeros((height, width, 3), np.uint8))[0].shape[:2] for width, height in SHAPES[:3]]

    assert shapes == [(98, 224), (126, 224), (182, 224)]
