import itertools
import resource

import av
import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ModelError, SourceError
from pipeline.frame import Display
from pipeline.input_spec import InputSpec
from pipeline.models.torchvision_compat import allow_missing_operators
from pipeline.preprocess import Preprocessor
from pipeline.sources.spec import parse_source

allow_missing_operators()
from timm.data import create_transform  # noqa: E402

CLIPS = ("bikes", "bunny", "carphone")
CROPS = [
    ("center", 0.9),
    ("center", 0.95),
    ("center", 1.0),
    ("squash", 0.9),
    ("squash", 1.0),
    ("border", 0.9),
    ("border", 1.0),
]


def frames(clip: str, count: int = 3) -> list[av.VideoFrame]:
    with av.open(parse_source(f"sample:{clip}").location) as container:
        every = container.streams.video[0].frames // count
        return list(itertools.islice(container.decode(video=0), 0, every * count, every))


def timms_own(image: Image.Image, spec: InputSpec) -> np.ndarray:
    """What timm's evaluation transform makes of an RGB picture, on the scale of 0..255."""
    transform = create_transform(
        (3, spec.height, spec.width),
        is_training=False,
        interpolation=spec.interpolation,
        crop_mode=spec.crop_mode,
        crop_pct=spec.crop_pct,
        # timm pads with the mean; elsewhere a mean of 0 leaves the pixels as they are.
        mean=tuple(c / 255 for c in spec.fill),
        std=(1, 1, 1),
    )
    return transform(image).permute(1, 2, 0).numpy() * 255 + np.array(spec.fill)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


@pytest.mark.parametrize(("crop_mode", "crop_pct"), CROPS)
@pytest.mark.parametrize("clip", CLIPS)
def test_a_frame_looks_as_timms_own_transform_makes_it(clip, crop_mode, crop_pct):
    spec = InputSpec(224, 224, crop_mode, crop_pct)
    preprocess = Preprocessor(spec)
    for frame in frames(clip):
        image, _, _ = preprocess(frame)
        assert difference(image, timms_own(frame.to_image(), spec)) < 0.05


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_every_interpolation_is_timms(interpolation):
    spec = InputSpec(224, 224, interpolation=interpolation)
    for clip in CLIPS:
        frame = frames(clip, 1)[0]
        assert difference(Preprocessor(spec)(frame)[0], timms_own(frame.to_image(), spec)) < 0.05


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
def test_sizes_and_rounding_are_timms_for_any_picture_and_input(crop_mode):
    rng = np.random.default_rng(0)
    scene = frames("bunny", 1)[0].to_ndarray(format="rgb24")
    for _ in range(40):
        width, height = (int(n) for n in rng.integers(40, 700, 2))
        spec = InputSpec(
            int(rng.integers(32, 400)),
            int(rng.integers(32, 400)),
            crop_mode,
            float(rng.choice([0.875, 0.9, 0.95, 0.965, 1.0])),
            fill=(124, 116, 104) if crop_mode == "border" else (0, 0, 0),
        )
        picture = scene[:height, :width]
        expected = timms_own(Image.fromarray(picture), spec)
        image, _, _ = Preprocessor(spec)(picture)
        assert difference(image, expected) < 0.3, (width, height, spec)


def test_a_fine_checkerboard_becomes_even_grey():
    checkerboard = (np.indices((720, 1280)).sum(0) % 2 * 255).astype(np.uint8)
    image, _, _ = Preprocessor(InputSpec(224, 224))(np.repeat(checkerboard[..., None], 3, axis=2))
    assert np.abs(image[4:-4, 4:-4].astype(int) - 127).max() <= 3


def test_a_zone_plate_keeps_its_coarse_rings_and_loses_its_fine_ones():
    y, x = np.mgrid[-360:360, -640:640] + 0.5
    # Rings of 0.5 cycles per pixel, the finest there are, 360 pixels from the centre.
    rings = 127.5 + 127.5 * np.cos(np.pi * (x**2 + y**2) / 720)
    plate = np.repeat(rings.astype(np.uint8)[..., None], 3, axis=2)
    image, _, _ = Preprocessor(InputSpec(224, 224))(plate)
    v, u = np.mgrid[-112:112, -112:112] + 0.5
    radius = np.hypot(u, v)
    # At 224 high there is room for 0.156 cycles per source pixel, which are 35 input pixels from the centre.
    assert image[radius < 20].std() > 70
    assert image[(radius > 60) & (radius < 105)].std() < 3


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_rotated_frame_is_treated_as_its_upright_picture(rotation, crop_mode):
    frame = frames("bikes", 1)[0]
    upright = np.rot90(frame.to_ndarray(format="rgb24"), -rotation // 90)
    preprocess = Preprocessor(InputSpec(224, 192, crop_mode, 0.9), keep_picture=True)
    image, geometry, picture = preprocess(frame, Display(rotation))
    expected, expected_geometry, _ = preprocess(upright)
    assert difference(image, expected) < 0.05
    assert geometry == expected_geometry
    assert np.array_equal(picture, upright)
    assert picture.flags.c_contiguous


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize(("crop_mode", "crop_pct"), CROPS)
def test_the_geometry_says_where_a_source_pixel_lies(crop_mode, crop_pct, rotation):
    upright = np.zeros((301, 479, 3), np.uint8)
    upright[170:180, 250:270] = 255
    middle_x, middle_y = 260, 175
    stored = np.rot90(upright, rotation // 90)
    image, geometry, _ = Preprocessor(InputSpec(224, 192, crop_mode, crop_pct))(stored, Display(rotation))
    light = image[..., 0].astype(float)
    x = (light.sum(0) * (np.arange(224) + 0.5)).sum() / light.sum()
    y = (light.sum(1) * (np.arange(192) + 0.5)).sum() / light.sum()
    assert (geometry.source_width, geometry.source_height) == (479, 301)
    assert x == pytest.approx(middle_x * geometry.scale_x + geometry.offset_x, abs=0.1)
    assert y == pytest.approx(middle_y * geometry.scale_y + geometry.offset_y, abs=0.1)
    assert geometry.to_source(x, y) == pytest.approx((middle_x / 479, middle_y / 301), abs=0.001)


def test_a_border_is_filled_and_the_geometry_knows_it():
    frame = frames("bikes", 1)[0]
    image, geometry, _ = Preprocessor(InputSpec(224, 224, "border", fill=(124, 116, 104)))(frame)
    assert geometry.content_box() == pytest.approx((0, 64, 224, 159))
    for bar in (image[:64], image[159:]):
        assert np.array_equal(bar, np.broadcast_to((124, 116, 104), bar.shape))


@pytest.mark.parametrize(
    ("pixel_format", "tolerance"),
    [
        ("yuv444p", 1.5),
        ("yuv422p", 1.5),
        ("yuv420p10le", 1.5),
        ("yuv444p12le", 1.5),
        ("p010le", 1.5),
        ("yuvj420p", 1.5),
        ("nv12", 1.5),
        ("gbrp", 1.5),
        ("rgba", 1.5),
        ("bgr24", 1.5),
        ("yuv411p", 4.0),
        ("gray", 30.0),
        ("gray10le", 30.0),
        ("monow", 80.0),
        ("pal8", 20.0),
    ],
)
def test_any_pixel_format_shows_the_same_scene(pixel_format, tolerance):
    frame = frames("bunny", 1)[0]
    preprocess = Preprocessor(InputSpec(224, 224))
    source = "rgb8" if pixel_format == "pal8" else pixel_format
    other = frame.reformat(format=source)
    if pixel_format == "pal8":
        levels = other.to_ndarray()
        other = av.VideoFrame.from_ndarray((levels, palette()), format="pal8")
    assert other.format.name == pixel_format
    assert difference(preprocess(other)[0], preprocess(frame)[0]) < tolerance


def palette() -> np.ndarray:
    """The colours of the format rgb8 (3 bits red, 3 green, 2 blue) as ARGB."""
    level = np.arange(256)
    channels = [np.full(256, 255), (level >> 5) * 36, (level >> 2 & 7) * 36, (level & 3) * 85]
    return np.stack(channels, axis=1).astype(np.uint8)


def flat(y: int, u: int, v: int, matrix: int, full: bool) -> av.VideoFrame:
    frame = av.VideoFrame(64, 64, "yuv420p")
    for plane, value in zip(frame.planes, (y, u, v), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace = matrix
    frame.color_range = 2 if full else 1
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    ("matrix", "red", "blue"), [(1, 0.2126, 0.0722), (5, 0.299, 0.114), (9, 0.2627, 0.0593)]
)
@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 30, 60), (20, 180, 90), (16, 16, 16)])
def test_the_tagged_matrix_and_range_are_honoured(colour, matrix, red, blue, full):
    r, g, b = (c / 255 for c in colour)
    luma = red * r + (1 - red - blue) * g + blue * b
    chroma = (b - luma) / (2 - 2 * blue), (r - luma) / (2 - 2 * red)
    gain, base, chroma_gain = (255, 0, 255) if full else (219, 16, 224)
    y, u, v = base + gain * luma, *(128 + chroma_gain * c for c in chroma)
    image, _, _ = Preprocessor(InputSpec(64, 64))(flat(round(y), round(u), round(v), matrix, full))
    assert np.abs(image.astype(int) - colour).max() <= 3


@pytest.mark.parametrize("matrix", [3, 8, 10, 14])
def test_a_matrix_that_cannot_be_converted_is_read_as_if_untagged(matrix):
    preprocess = Preprocessor(InputSpec(64, 64))
    untagged, _, _ = preprocess(flat(120, 90, 160, 2, full=False))
    assert np.array_equal(preprocess(flat(120, 90, 160, matrix, full=False))[0], untagged)


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(1, 1), (1, 480), (480, 1), (3, 2), (641, 273), (4096, 2)])
def test_a_picture_of_any_size_fills_the_input(size, crop_mode):
    width, height = size
    frame = av.VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (235, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    for rotation in (0, 90):
        image, geometry, _ = Preprocessor(InputSpec(224, 224, crop_mode))(frame, Display(rotation))
        left, top, right, bottom = (round(edge) for edge in geometry.content_box())
        assert image.shape == (224, 224, 3)
        assert right > left
        assert bottom > top
        assert image[top:bottom, left:right].min() >= 250


def test_a_sliver_of_a_picture_takes_little_memory():
    preprocess = Preprocessor(InputSpec(224, 224))
    sliver = np.zeros((20000, 1, 3), np.uint8)
    sliver[9990:10010] = 200
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    image, geometry, _ = preprocess(sliver)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert image.min() == 200
    assert geometry.to_source(112, 112) == pytest.approx((0.5, 0.5))


def test_the_input_shares_no_memory_with_the_picture():
    picture = np.zeros((224, 224, 3), np.uint8)
    image, _, kept = Preprocessor(InputSpec(224, 224), keep_picture=True)(picture)
    assert image.flags.c_contiguous
    assert not np.shares_memory(image, picture)
    assert not np.shares_memory(image, kept)


@pytest.mark.filterwarnings("error")
def test_a_read_only_or_mirrored_array_is_accepted():
    picture = frames("carphone", 1)[0].to_ndarray(format="rgb24")
    preprocess = Preprocessor(InputSpec(224, 224))
    expected, _, _ = preprocess(picture)
    mirrored = np.ascontiguousarray(picture[:, ::-1])[:, ::-1]
    mirrored.flags.writeable = False
    assert np.array_equal(preprocess(mirrored)[0], expected)


def test_without_keep_picture_none_is_returned():
    assert Preprocessor(InputSpec(32, 32))(np.zeros((8, 8, 3), np.uint8))[2] is None


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4), (8, 8, 1)])
def test_an_array_that_is_not_rgb_is_refused(shape):
    with pytest.raises(SourceError, match="give RGB as uint8"):
        Preprocessor(InputSpec(32, 32))(np.zeros(shape, np.uint8))


def test_a_pixel_format_that_cannot_be_converted_is_named():
    with pytest.raises(SourceError, match="cannot convert gray32le pictures to RGB"):
        Preprocessor(InputSpec(32, 32))(av.VideoFrame(16, 16, "gray32le"))


def test_an_interpolation_that_torch_lacks_is_a_model_error():
    with pytest.raises(ModelError, match="cannot resize by 'spline'"):
        Preprocessor(InputSpec(32, 32, interpolation="spline"))


@pytest.mark.parametrize("display", [Display(90, True, 2.0), Display(180, False, 0.5), Display(0, True, 1.5)])
def test_a_sliver_of_pixels_that_are_not_square_is_cut_where_its_shown_picture_would_be(display):
    stored = np.random.default_rng(0).integers(0, 255, (2, 3000, 3)).astype(np.uint8)
    _, geometry, upright = Preprocessor(InputSpec(64, 64), keep_picture=True)(stored, display)
    image, _, _ = Preprocessor(InputSpec(64, 64))(upright)
    assert image.shape == (64, 64, 3)
    assert upright.shape[:2] == (geometry.source_height, geometry.source_width)
