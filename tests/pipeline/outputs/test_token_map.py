import cv2
import numpy as np
import pytest

from pipeline.input_spec import InputSpec
from pipeline.outputs.token_map import TokenMapLayer
from pipeline.preprocess import Preprocessor
from pipeline.tokenizers.states import DROPPED, INTACT, MERGED
from tests.pipeline.outputs.examples import cropped, letterboxed


def layer_over(
    grey: int, states: np.ndarray, geometry=None, width: int = 640, height: int = 640
) -> np.ndarray:
    """Luma of a flat picture under the token map: what is left without colour vision."""
    geometry = geometry or letterboxed(width, height)
    layer = TokenMapLayer(geometry, states.shape, width, height)
    drawn = layer.draw(np.full((height, width, 3), grey, np.uint8), states)
    return cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY).astype(float)


def whole(state: int) -> np.ndarray:
    return np.full((4, 4), state, np.uint8)


def test_an_intact_patch_shows_the_picture_unchanged_inside_a_thin_outline() -> None:
    luma = layer_over(100, whole(INTACT))
    assert (luma[161:319, 161:319] == 100).all()
    assert (luma[160, 161:319] > 110).all()


@pytest.mark.parametrize("grey", [20, 128, 235])
def test_states_can_be_told_apart_without_colour(grey: int) -> None:
    intact, merged, dropped = (layer_over(grey, whole(s))[5:155, 5:155] for s in (INTACT, MERGED, DROPPED))
    assert intact.std() == 0
    assert merged.std() > 5
    assert dropped.std() > 5
    # Merged is hatched lighter than dropped, which is near black between its lines.
    assert merged.mean() > dropped.mean() + 20
    assert np.median(dropped) < 0.3 * grey + 5


def test_a_patch_is_drawn_where_the_picture_has_it_in_a_letterboxed_input() -> None:
    # 640x320 in a square input: patch rows 0 and 3 of four are padding, rows 1 and 2 show the picture.
    states = whole(INTACT)
    states[1, 3] = DROPPED
    luma = layer_over(200, states, letterboxed(640, 320), 640, 320)
    dark = luma < 100
    assert dark[5:155, 485:635].mean() > 0.7
    assert not dark[165:, :].any()
    assert not dark[:, :475].any()


def test_a_map_of_the_patches_that_show_the_picture_lies_as_that_of_the_padded_input() -> None:
    picture = np.full((272, 640, 3), 200, np.uint8)
    states = np.random.default_rng(0).choice(np.array([INTACT, MERGED, DROPPED], np.uint8), (16, 16))
    padded, cut = (
        Preprocessor(InputSpec(224, 224, "border", patch_size=patch))(picture)[1] for patch in (None, 14)
    )

    whole = TokenMapLayer(padded, (16, 16), 640, 272)
    seen = TokenMapLayer(cut, (8, 16), 640, 272)

    # 95 rows of pixels in the middle of 224 touch the rows 4 to 11 of patches.
    np.testing.assert_array_equal(seen.draw(picture, states[4:12]), whole.draw(picture, states))
    assert seen.everything_seen


def test_a_native_map_is_stretched_over_the_whole_picture() -> None:
    picture = np.full((272, 640, 3), 200, np.uint8)
    geometry = Preprocessor(InputSpec(224, 224, "native", patch_size=14))(picture)[1]
    states = np.full((7, 16), INTACT, np.uint8)
    states[6, 15] = DROPPED

    layer = TokenMapLayer(geometry, (7, 16), 640, 272)

    dark = layer.draw(picture, states)[..., 0] < 100
    assert layer.everything_seen
    assert dark[238:, 604:].mean() > 0.7
    assert not dark[:230].any()
    assert not dark[:, :596].any()


def test_what_a_crop_leaves_out_is_marked_as_not_seen() -> None:
    layer = TokenMapLayer(cropped(640, 320), (4, 4), 640, 320)
    drawn = layer.draw(np.full((320, 640, 3), 255, np.uint8), whole(INTACT))
    assert not layer.everything_seen
    assert (drawn[:, :159] < 180).all()
    assert (drawn[:, 482:] < 180).all()
    assert (drawn[10:70, 170:230] == 255).all()


def test_a_layer_over_a_letterboxed_input_shows_the_whole_picture() -> None:
    assert TokenMapLayer(letterboxed(640, 272), (16, 16), 1130, 480).everything_seen
