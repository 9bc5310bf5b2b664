import numpy as np
import pytest

from pipeline.boxes import Box
from pipeline.frame import FrameTimes
from pipeline.outputs import drawing
from pipeline.outputs.drawing import Painter
from pipeline.results import Energy, Label, Prediction, Region, ZoneState
from pipeline.tokenizers.states import INTACT
from tests.pipeline.outputs.examples import a_result, letterboxed

ALL_INTACT = np.full((16, 16), INTACT, np.uint8)


def painted(prediction: Prediction, width: int = 640, height: int = 480) -> np.ndarray:
    picture = np.full((height, width, 3), 90, np.uint8)
    result = a_result(prediction=prediction)
    return Painter(width, height).paint(picture, letterboxed(width, height), None, result)


def test_a_small_picture_is_enlarged_until_it_can_be_read() -> None:
    painter = Painter(176, 144)
    assert painter.height > 480
    assert painter.width == 586


@pytest.mark.parametrize("size", [(176, 144), (640, 360), (90, 400)])
def test_without_a_strip_it_is_the_picture_alone_in_its_aspect(size: tuple[int, int]) -> None:
    painter = Painter(*size, strip=False)
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    for states in (None, ALL_INTACT):
        canvas = painter.paint(
            picture, letterboxed(*size), states, a_result(prediction=Prediction("regions"))
        )
        assert canvas.shape == (painter.height, painter.width, 3)
        assert painter.width / painter.height == pytest.approx(size[0] / size[1], rel=0.02)
        # Nothing of the strip's ground or letters: the picture, or the outlines of its patches.
        assert canvas.min() >= 90


def test_a_4k_picture_is_reduced_to_1280_wide() -> None:
    assert Painter(3840, 2160).width == 1280


@pytest.mark.parametrize("size", [(177, 145), (641, 273), (1, 1), (50, 2000), (4000, 30)])
def test_every_size_gives_even_sides_as_wide_as_its_figures_need(size: tuple[int, int]) -> None:
    width, height = size
    painter = Painter(width, height)
    canvas = painter.paint(
        np.zeros((height, width, 3), np.uint8), letterboxed(width, height), ALL_INTACT, a_result()
    )
    assert canvas.shape == (painter.height, painter.width, 3)
    assert painter.width % 2 == painter.height % 2 == 0
    assert painter.width >= 480


def test_a_region_is_framed_where_it_lies() -> None:
    canvas = painted(Prediction("regions", regions=[Region(0.25, 0.25, 0.5, 0.5, 0.9)]))
    assert tuple(canvas[240, 160]) == (255, 196, 0)
    assert tuple(canvas[360, 320]) == (255, 196, 0)
    assert tuple(canvas[240, 320]) == (90, 90, 90)


def test_a_box_is_framed_with_its_name_on_a_plate_above_it() -> None:
    canvas = painted(Prediction("boxes", boxes=[Box(0.25, 0.25, 0.5, 0.5, "person", 0.9)]))
    region = painted(Prediction("regions", regions=[Region(0.25, 0.25, 0.5, 0.5, 0.9)]))
    assert tuple(canvas[240, 160]) == (255, 196, 0)
    assert tuple(canvas[240, 320]) == (90, 90, 90)
    # The name makes the plate wider than that of a score alone.
    row = 105
    plates = [(image[row, 160:480] == (255, 196, 0)).all(axis=1).sum() for image in (canvas, region)]
    assert plates[0] > plates[1] + 40


def test_a_name_in_other_letters_is_drawn_as_well_as_can_be() -> None:
    named = painted(Prediction("boxes", boxes=[Box(0.25, 0.25, 0.5, 0.5, "Käfig", 0.9)]))
    assert np.array_equal(
        named, painted(Prediction("boxes", boxes=[Box(0.25, 0.25, 0.5, 0.5, "K?fig", 0.9)]))
    )


def test_labels_are_written_at_the_top_and_the_rest_of_the_picture_stays() -> None:
    canvas = painted(Prediction("labels", labels=[Label("bicycle", 0.9), Label("tricycle", 0.1)]))
    assert canvas[:50, :100].max() > 200
    assert (canvas[100:480, :640] == 90).all()


def test_the_picture_given_is_left_as_it_was() -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)
    result = a_result(prediction=Prediction("regions", regions=[Region(0.1, 0.1, 0.5, 0.5, 0.9)]))
    Painter(640, 480).paint(picture, letterboxed(640, 480), ALL_INTACT, result)
    assert (picture == 90).all()


def test_a_picture_of_another_size_is_fitted_to_the_first() -> None:
    painter = Painter(640, 480)
    other = np.full((720, 1280, 3), 90, np.uint8)
    canvas = painter.paint(other, letterboxed(1280, 720), ALL_INTACT, a_result())
    assert canvas.shape == (painter.height, painter.width, 3)


def test_the_strip_tells_tokens_energy_with_its_method_latency_time_and_frame() -> None:
    energy = Energy(0.4123, 0.3, "estimate", settled=True)
    texts = drawing._figures(
        a_result(123, tokens_kept=131, energy=energy, times=FrameTimes(pts_s=4.92), total_ms=12.34)
    )
    assert texts == ("tokens 131/256 (51 %)", "0.412 J estimate", "12.3 ms", "t=4.92 s", "frame 123")


def test_what_is_unknown_is_called_unknown() -> None:
    texts = drawing._figures(a_result(times=FrameTimes(pts_s=None), tokens_full=None, tokens_kept=None))
    assert texts[:2] == ("no tokens", "energy unknown")
    assert texts[3] == "t unknown"


def test_a_provisional_figure_is_called_provisional() -> None:
    texts = drawing._figures(a_result(energy=Energy(0.5, None, "nvml", settled=False)))
    assert texts[1] == "0.5 J nvml, provisional"


def test_what_changed_is_framed_in_a_colour_of_its_own_and_zones_stand_in_the_corner() -> None:
    picture = np.full((480, 640, 3), 90, np.uint8)

    def painted_with(**seen: object) -> np.ndarray:
        result = a_result(prediction=Prediction("none"), **seen)
        return Painter(640, 480).paint(picture, letterboxed(640, 480), None, result)

    plain = painted_with()
    changed = painted_with(changed=[Box(0.25, 0.25, 0.5, 0.5, "changed", 0.9)])
    assert tuple(changed[240, 160]) == (64, 200, 255)
    assert tuple(changed[240, 320]) == (90, 90, 90)
    zones = painted_with(zones={"gate": ZoneState("open", 0.1)})
    differs = np.argwhere((zones != plain).any(axis=2))
    assert differs[:, 0].max() < 40
    assert differs[:, 1].min() > 320
    assert differs[:, 1].max() == 639
