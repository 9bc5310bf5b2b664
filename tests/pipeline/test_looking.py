import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.history import Wanted
from pipeline.history.moments import unit
from pipeline.looking import Part, look
from pipeline.models import load_model
from tests.pipeline.outputs.examples import cropped, letterboxed


def test_a_part_weighs_the_cells_that_it_lies_in() -> None:
    square = letterboxed(448, 448)
    np.testing.assert_allclose(Part(0, 0, 1, 1).weights(square), np.full((4, 4), 1 / 16), atol=1e-6)
    half = Part(0.5, 0, 0.5, 0.25).weights(square)
    assert half.tolist() == [[0, 0, 0.5, 0.5], [0] * 4, [0] * 4, [0] * 4]
    across = Part(0.125, 0.75, 0.5, 0.25).weights(square)
    np.testing.assert_allclose(across[3], [0.25, 0.5, 0.25, 0])


def test_a_part_is_where_the_picture_lies_in_the_input() -> None:
    # Twice as wide as high, so its upper half is the second quarter of the input.
    upper = Part(0, 0, 1, 0.5).weights(letterboxed(640, 320))
    np.testing.assert_allclose(upper.sum(axis=1), [0, 1, 0, 0], atol=1e-6)
    # The middle of it fills the input, which its left border is not in.
    border = Part(0, 0, 0.1, 1).weights(cropped(640, 320))
    np.testing.assert_allclose(border.sum(axis=0), [1, 0, 0, 0], atol=1e-6)


@pytest.mark.parametrize("corner", ["0,0,1e-9,1e-9", "0.999999,0.999999,1e-9,1e-9"])
def test_the_smallest_part_is_of_one_cell(corner: str) -> None:
    assert Part.parse(corner).weights(letterboxed(448, 448)).max() == 1


@pytest.mark.parametrize(
    "text",
    ["", "1,2", "a,b,c,d", "0,0,0,1", "-.1,0,1,1", "0.5,0,0.6,1", "nan,0,1,1", "0,0,nan,1", "0,0,1,1,1"],
)
def test_what_is_no_part_of_a_picture_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="box"):
        Part.parse(text)


def coarse(seed: int) -> np.ndarray:
    """(480, 480, 3) of 8 x 8 colours."""
    colours = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return np.kron(colours, np.ones((60, 60, 1), np.uint8))


def cosine(one: Wanted, other: Wanted) -> float:
    return float(unit(one.vector) @ unit(other.vector))


def test_a_picture_is_most_like_itself_made_smaller() -> None:
    model = load_model("vit_tiny_patch16_224", "random", embedding_only=True)
    one, other, smaller = (look(model, some) for some in (coarse(0), coarse(1), coarse(0)[::2, ::2].copy()))
    assert one.vector.shape == (192,)
    assert cosine(one, smaller) > 0.999
    assert cosine(one, smaller) > cosine(one, other)


def test_a_part_of_a_picture_is_the_mean_of_its_patches() -> None:
    model = load_model("vit_tiny_patch16_224", "random", embedding_only=True, cells=True)
    halves = [look(model, coarse(0), Part(x, 0, 0.5, 1)) for x in (0, 0.5)]
    whole = look(model, coarse(0), Part(0, 0, 1, 1))
    assert all(one.part for one in (*halves, whole))
    np.testing.assert_allclose((halves[0].vector + halves[1].vector) / 2, whole.vector, atol=1e-4)
    assert cosine(*halves) < 0.9999


def test_a_model_without_patches_has_no_parts() -> None:
    model = load_model("resnet18", "random", embedding_only=True, cells=True)
    assert not look(model, coarse(0)).part
    with pytest.raises(UsageError, match="no patches"):
        look(model, coarse(0), Part(0, 0, 0.5, 0.5))


def test_a_small_part_is_a_thing_too_by_what_attention_took_from_it() -> None:
    model = load_model("vit_tiny_patch16_224", "random", embedding_only=True, cells=True)
    assert look(model, coarse(0), Part(0, 0, 0.5, 0.2)).thing is None
    quarters = [look(model, coarse(0), Part(x, 0, 0.25, 0.25)) for x in (0, 0.25)]
    things = [one.thing for one in quarters]
    assert things[0] is not None
    assert things[1] is not None
    assert np.linalg.norm(things[0]) == pytest.approx(1, abs=1e-4)
    # Not what the last block says of it.
    assert things[0].shape == quarters[0].vector.shape
    assert abs(float(things[0] @ unit(quarters[0].vector))) < 0.9
    assert float(things[0] @ things[1]) < 0.9999
