"""Frames of any aspect and size through the bundled model: where regions land, and what they cost."""

import av
import cv2
import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import pipeline as vwt
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.fit import FITS
from pipeline.frame import Frame, FrameTimes
from pipeline.models import load_model
from pipeline.models.focus import SaliencyDecoder, load_focus
from pipeline.preprocess import Preprocessor
from pipeline.stacking import Part
from pipeline.tokenizers import FullTokenizer, InterTokenizer, IntraTokenizer, MergeTokenizer
from pipeline.warmup import learn_words
from tests import make_clips

SHAPES = [(640, 272), (272, 640), (352, 288), (480, 480)]


@pytest.fixture(scope="module")
def engine():
    return Engine(load_model(embedding=True))


def scene(width, height, x=0.4, y=0.6):
    """A red ball on a meadow, its middle at a share x, y of the picture, a third of the short side wide."""
    noise = np.random.default_rng(0).integers(-12, 12, (height, width, 1))
    picture = (np.array((96, 120, 96)) + noise).astype(np.uint8)
    cv2.circle(picture, (round(x * width), round(y * height)), min(width, height) // 6, (230, 40, 30), -1)
    return picture


def framed(engine, picture, fit="native", size=None):
    spec = engine.model.inputs.spec(engine.model.name, fit, size)
    image, geometry, _ = Preprocessor(spec)(picture)
    return Frame(FrameTimes(pts_s=0.0), image, geometry)


def output_of(engine, frame, tokenizer=None):
    (output,) = engine.submit([frame], tokenizer or FullTokenizer()).result().frames
    return output


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize(("x", "y"), [(0.4, 0.4), (0.6, 0.5)])
def test_a_region_lies_where_the_object_is(engine, fit, width, height, x, y):
    output = output_of(engine, framed(engine, scene(width, height, x, y), fit))

    best, *others = output.prediction.regions
    diameter = min(width, height) / 3
    assert not others
    assert (best.x + best.w / 2, best.y + best.h / 2) == pytest.approx((x, y), abs=0.03)
    assert best.w * width == pytest.approx(diameter, rel=0.2)
    assert best.h * height == pytest.approx(diameter, rel=0.2)


@pytest.mark.parametrize("tokenizer", [IntraTokenizer(0.7), MergeTokenizer(4)])
def test_the_token_map_lies_over_the_picture(engine, tokenizer):
    """What varies most in a meadow with a ball is the ball's edge."""
    for width, height in SHAPES:
        states = output_of(engine, framed(engine, scene(width, height)), IntraTokenizer(0.9)).states
        rows, columns = np.nonzero(states == 0)
        assert np.median((columns + 0.5) / states.shape[1]) == pytest.approx(0.4, abs=0.12)
        assert np.median((rows + 0.5) / states.shape[0]) == pytest.approx(0.6, abs=0.12)
        output = output_of(engine, framed(engine, scene(width, height)), tokenizer)
        assert output.states.size == output.tokens_full


def test_tokens_are_counted_of_the_picture_only(engine):
    frames = {fit: framed(engine, scene(640, 272), fit) for fit in FITS}

    counted = {fit: output_of(engine, frame).tokens_full for fit, frame in frames.items()}

    # 640x272 in 224x224 is 95 pixels high, 6.8 patches; centred, it touches 8 rows.
    assert counted == {"native": 7 * 16, "letterbox": 8 * 16, "crop": 256, "stretch": 256}


@pytest.mark.parametrize(("fit", "rows"), [("native", 7), ("letterbox", 8)])
def test_operations_are_those_of_a_model_built_for_the_frames_own_grid(engine, fit, rows):
    import timm  # once pipeline.models has put torchvision right

    output = output_of(engine, framed(engine, scene(640, 272), fit))

    size = (rows * 14, 224)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        timm.create_model("vit_small_patch14_dinov2", img_size=size, num_classes=0)(torch.empty(1, 3, *size))
        SaliencyDecoder().eval()(torch.empty(1, 384, rows, 16))
    assert output.flops == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_a_result_does_not_depend_on_the_sizes_beside_it(engine):
    pictures = [scene(width, height) for width, height in SHAPES]
    sizes = ["224", "140x224", "224", "308"]
    frames = [
        framed(engine, picture, fit, size)
        for fit in ("native", "letterbox", "stretch")
        for picture, size in zip(pictures, sizes, strict=True)
    ]
    words = learn_words([frame.image for frame in frames], engine.model.input, 14, 100)
    tokenizers = [FullTokenizer(), IntraTokenizer(0.5), MergeTokenizer(11), InterTokenizer(words, 0.05)]
    parts = [Part(frames[first::4], tokenizer) for first, tokenizer in enumerate(tokenizers)]

    pending = engine.submit_parts(parts)

    together = iter(pending.result().frames)
    for some, tokenizer, *_ in parts:
        for frame in some:
            alone, among = output_of(engine, frame, tokenizer), next(together)
            assert (alone.tokens_full, alone.tokens_kept, alone.flops) == (
                among.tokens_full,
                among.tokens_kept,
                among.flops,
            )
            np.testing.assert_array_equal(alone.states, among.states)
            np.testing.assert_allclose(
                among.prediction.embedding, alone.prediction.embedding, rtol=1e-5, atol=2e-5
            )
            boxes = [
                [(region.x, region.y, region.w, region.h) for region in output.prediction.regions]
                for output in (alone, among)
            ]
            assert boxes[0] == boxes[1]


def test_where_the_picture_fills_the_input_every_fit_is_the_plain_model(engine):
    """What `letterbox` and `native` leave out is padding: without any, they leave out nothing."""
    picture = scene(224, 224)
    embeddings = [output_of(engine, framed(engine, picture, fit)).prediction.embedding for fit in FITS]
    frame = framed(engine, picture)
    pixels = engine.normalise(torch.from_numpy(frame.image[None]))
    model = load_focus().backbone
    with torch.inference_mode():
        plain = model.forward_head(model.forward_features(pixels))

    for embedding in embeddings:
        np.testing.assert_allclose(embedding, plain[0], atol=1e-4, rtol=1e-5)


def test_words_are_learned_from_frames_of_several_sizes_and_match_in_all(engine):
    frames = [framed(engine, scene(width, height)) for width, height in SHAPES]
    words = learn_words([frame.image for frame in frames], engine.model.input, 14, 50)

    for frame in frames:
        output = output_of(engine, frame, InterTokenizer(words, 0.05))
        assert output.tokens_kept < 0.5 * output.tokens_full


def test_arrays_of_another_aspect_run_too(engine):
    arrays = engine.run(np.zeros((2, 98, 224, 3), np.uint8))

    assert arrays["saliency"].shape == (2, 98, 224)
    assert arrays["tokens_kept"].tolist() == [112, 112]
    for shape in ((2, 97, 224, 3), (2, 98, 238, 3), (98, 224, 3)):
        with pytest.raises(UsageError, match="images are uint8"):
            engine.run(np.zeros(shape, np.uint8))


@pytest.fixture
def clip(tmp_path):
    """Writes scenes of one size as a video."""

    def written(width, height, frames=3):
        path = tmp_path / f"{width}x{height}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for number in range(frames):
                frame = av.VideoFrame.from_ndarray(scene(width, height), format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path

    return written


@pytest.mark.parametrize(
    ("fit", "size", "tokens"),
    [(None, None, 112), ("letterbox", None, 128), ("stretch", "112x56", 32), ("native", 448, 14 * 32)],
)
def test_a_run_takes_a_fit_and_a_size(clip, fit, size, tokens):
    results = list(vwt.run(clip(640, 272), tokenizer="full", fit=fit, size=size, meter="none"))

    assert {result.tokens_full for result in results} == {tokens}
    region = results[-1].prediction.regions[0]
    assert (region.x + region.w / 2, region.y + region.h / 2) == pytest.approx((0.4, 0.6), abs=0.08)


def test_a_source_that_changes_its_size_gets_another_grid(tmp_path):
    source = make_clips.changing(tmp_path / "camera.ts", [(640, 272), (352, 288)])

    results = list(vwt.run(source, tokenizer="full", batch=4, meter="none"))

    assert [result.tokens_full for result in results] == [7 * 16] * 6 + [13 * 16] * 6
    assert {region.h > 0 for result in results for region in result.prediction.regions} <= {True}


def test_a_run_learns_its_words_on_its_own_grid(clip):
    results = list(
        vwt.run(
            clip(640, 272), tokenizer="inter", exact=True, warmup_frames=2, words=50, batch=1, meter="none"
        )
    )

    assert [result.tokens_kept for result in results[:2]] == [112, 112]
    assert results[2].tokens_kept < 112


def test_any_size_runs_on_a_network_that_takes_any():
    model = load_model("resnet18", weights="random", size="96x64")

    arrays = Engine(model).run(np.zeros((1, 64, 96, 3), np.uint8))

    assert arrays["index"].shape == (1, 5)


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("swin_tiny_patch4_window7_224", {"size": 448}, "at 224x224 only; leave out --size"),
        ("resnet18", {"fit": "native"}, "does not take --fit native; use letterbox or crop or stretch"),
        ("vgg11", {"size": 8}, "does not run at 8x8; leave out --size"),
    ],
)
def test_a_model_that_cannot_says_so_in_one_line(name, asked, says):
    with pytest.raises(UsageError, match=says) as failure:
        load_model(name, weights="random", **asked)
    assert "\n" not in str(failure.value)
