import math

import numpy as np
import pytest
import torch

from vocab.words import Normalisation, Vocabulary
from workers.words.sheet import contact_sheet, word_pictures

SCALE = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
RED, GREEN, BLUE = (200, 10, 20), (10, 180, 30), (20, 30, 220)
ORANGE = (230, 159, 0)


def vocabulary(*colours: tuple[int, int, int], patch_size: int = 14) -> Vocabulary:
    """One-colour words, as normalised patches have them."""
    rgb = torch.tensor(colours) / 255
    normalised = (rgb - torch.tensor(SCALE.mean)) / torch.tensor(SCALE.std)
    return Vocabulary(normalised.repeat_interleave(patch_size**2, dim=1), 3, SCALE)


def centre(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[float, float]:
    """The middle (y, x) of all that has a colour."""
    ys, xs = np.nonzero((sheet == colour).all(axis=2))
    assert len(ys), f"{colour} is not on the sheet"
    return ys.mean(), xs.mean()


def area(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


@pytest.mark.parametrize(("patch_size", "side"), [(14, 28), (16, 32), (8, 32), (32, 32)])
def test_a_word_of_one_colour_is_a_square_of_that_colour_large_enough_to_see(patch_size, side):
    sheet = contact_sheet(vocabulary(RED, GREEN, patch_size=patch_size), np.array([1, 1]))

    assert sheet.dtype == np.uint8
    assert area(sheet, RED) == area(sheet, GREEN) == side**2


def test_the_pixels_of_a_word_are_where_they_were_in_the_patch():
    pixels = torch.arange(3 * 4 * 4).view(3, 4, 4) * 5 / 255
    normalised = (pixels - torch.tensor(SCALE.mean)[:, None, None]) / torch.tensor(SCALE.std)[:, None, None]

    (picture,) = word_pictures(Vocabulary(normalised.reshape(1, -1), normalisation=SCALE))

    assert np.array_equal(picture, np.arange(48).reshape(3, 4, 4).transpose(1, 2, 0) * 5)


def test_pixels_outside_the_range_of_a_picture_are_black_or_white():
    pictures = word_pictures(Vocabulary(torch.full((1, 48), 9.0), normalisation=SCALE))

    assert (pictures == 255).all()


def test_words_stand_in_the_order_of_their_use():
    sheet = contact_sheet(vocabulary(RED, GREEN, BLUE), np.array([5, 1, 9]))

    places = [centre(sheet, colour) for colour in (BLUE, RED, GREEN)]
    assert places == sorted(places)


def test_words_of_unknown_use_keep_their_order_and_have_no_mark():
    sheet = contact_sheet(vocabulary(RED, GREEN, BLUE), None)

    places = [centre(sheet, colour) for colour in (RED, GREEN, BLUE)]
    assert places == sorted(places)
    assert area(sheet, ORANGE) == 0


def test_a_word_never_used_is_faint_and_marked_and_the_others_are_not():
    words = vocabulary(RED, GREEN)

    marked = contact_sheet(words, np.array([0, 4]))
    unmarked = contact_sheet(words, np.array([3, 4]))

    assert area(marked, ORANGE) > 28**2 / 20
    assert area(marked, RED) == 0
    assert area(marked, GREEN) == 28**2
    assert area(unmarked, ORANGE) == 0


def test_without_a_normalisation_each_word_is_stretched_to_its_own_range():
    faint = torch.linspace(2.0, 2.1, 48).repeat(2, 1)
    faint[1] -= 7

    pictures = word_pictures(Vocabulary(faint))

    assert (pictures.reshape(2, -1).min(axis=1) == 0).all()
    assert (pictures.reshape(2, -1).max(axis=1) == 255).all()
    assert np.array_equal(pictures[0], pictures[1])


def test_the_header_grows_by_what_there_is_to_say():
    recorded, unknown = vocabulary(RED), Vocabulary(vocabulary(RED).words)

    assert len(contact_sheet(unknown, None)) > len(contact_sheet(recorded, None))
    assert len(contact_sheet(recorded, np.array([0]))) > len(contact_sheet(recorded, np.array([1])))


@pytest.mark.parametrize("words", [300, 1000, 4096])
def test_many_words_make_a_landscape(words):
    height, width, _ = contact_sheet(Vocabulary(torch.rand(words, 588)), None).shape

    assert 1.2 < width / height < 2
    assert width * height < 2 * words * 34**2, f"{math.isqrt(width * height)} pixels a side are too many"


def test_the_usage_of_other_words_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        contact_sheet(vocabulary(RED, GREEN), np.array([1]))
